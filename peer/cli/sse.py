"""Server-sent events from lines of text (the WHATWG format). Refuses to know HTTP and what an event means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from peer.cli import bounds


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event as sent. `id` is the last one seen, "" before any."""

    id: str
    name: str
    data: str


def events(lines: Iterable[str], *, last_id: str = "") -> Iterator[ServerEvent]:
    """Read events; an unfinished one at the end is dropped, as the format says. An event beyond the size limit is dropped too."""
    name, data, size = "", list[str](), 0
    for line in lines:
        if line == "":
            if data and size <= bounds.EVENT_BYTES_MAX:
                yield ServerEvent(last_id, name or "message", "\n".join(data))
            name, data, size = "", [], 0
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                size += len(value) + 1
                if size <= bounds.EVENT_BYTES_MAX:
                    data.append(value)
            case "event":
                name = value
            case "id" if "\0" not in value:
                last_id = value
            case _:
                pass  # comments, retry and unknown fields


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Decode chunks to lines without their ends (LF, CRLF or CR); the piece after the last end is dropped."""
    rest = bytearray()
    for chunk in chunks:
        ends = rest.endswith(b"\r") or b"\n" in chunk or b"\r" in chunk  # else a long line is searched again with each piece
        rest += chunk
        if rest.endswith(b"\r") and len(rest) <= bounds.EVENT_BYTES_MAX:
            continue  # the LF that belongs to it may be in the next chunk
        whole = list[bytearray]()
        if ends:
            *whole, rest = rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if len(rest) > bounds.EVENT_BYTES_MAX:
            rest.clear()
        for line in whole:
            yield line.decode("utf-8", "replace")
