"""Events of a peer as objects: those that it keeps, or those and all that follow. Refuses to know how they are shown."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from urllib3.exceptions import HTTPError, ReadTimeoutError

from peer.cli import bounds, sse
from peer.cli.bodies import arriving
from peer.cli.client import Call, MeshClient
from peer.cli.documents import parse_object
from peer.cli.failures import CliError, Exit, Unreachable
from peer.cli.screen import plain
from peer.cli.tables import short

Event = dict[str, Any]


def kept_events(client: MeshClient, path: str, *, last_id: str = "") -> Iterator[tuple[str, Event]]:
    """`(id, event)` of what the peer keeps, after `last_id`; then the end. A stream that breaks off is taken up again.

    Raises `CliError`: `Unreachable` also when it breaks off again and again."""
    url, broken = client.url, 0
    while True:
        try:
            for event_id, event in _stream(client, path, last_id=last_id if client.url == url else "", follow=False):
                last_id, url, broken = event_id, client.url, 0
                yield event_id, event
            return
        except HTTPError as error:
            broken += 1
            if broken == bounds.BREAKS_MAX:
                raise _breaking_off(client, error) from None


def followed_events(client: MeshClient, path: str, *, last_id: str = "", silent_s: float) -> Iterator[Event | None]:
    """Events for ever, resumed after a break; None after each silence, so that the caller can look round.

    Raises `CliError` when for `silent_s` seconds no peer has answered, or none without breaking off at once.
    """
    heard, url, why = time.monotonic(), client.url, _NOTHING
    while True:
        sounds = _Sounds()
        try:
            for event_id, event in _stream(client, path, last_id=last_id if client.url == url else "", follow=True, heard=sounds):
                last_id, heard, url = event_id, time.monotonic(), client.url
                yield event
        except Unreachable:
            if time.monotonic() - heard > silent_s:
                raise
        except HTTPError as error:
            why = error
        if sounds.lasted_s >= bounds.STREAM_STEADY_S:
            heard = sounds.last_at
        elif time.monotonic() - heard > silent_s:
            raise _breaking_off(client, why)
        yield None
        time.sleep(bounds.POLL_FIRST_S)


@dataclass(slots=True)
class _Sounds:
    """From when to when a stream was heard, whatever it said."""

    first_at: float = 0.0
    last_at: float = 0.0

    @property
    def lasted_s(self) -> float:
        """0 for a stream that said one thing, or nothing."""
        return self.last_at - self.first_at

    def listen(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Pass the pieces on."""
        for piece in pieces:
            self.last_at = time.monotonic()
            self.first_at = self.first_at or self.last_at
            yield piece


_NOTHING: Final = HTTPError("they end at once")


def _breaking_off(client: MeshClient, error: HTTPError) -> Unreachable:
    silent = isinstance(error, ReadTimeoutError)
    broke = str(error) if error is _NOTHING else f"the connection broke ({type(error).__name__})"
    return Unreachable(
        Exit.TIMED_OUT if silent else Exit.UNREACHABLE,
        f"the events of {client.url} break off again and again",
        begun=True,
        why="it says nothing more" if silent else broke,
        remedy="try again, or name another peer: -H HOST",
    )


def _stream(
    client: MeshClient, path: str, *, last_id: str, follow: bool, heard: _Sounds | None = None
) -> Iterator[tuple[str, Event]]:
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
    params = {} if follow else {"follow": "false"}
    with client.stream(Call("GET", path, params=params, headers=headers, read_timeout_s=bounds.EVENT_SILENCE_S)) as response:
        kind = response.headers.get("Content-Type", "no content type")
        if kind.partition(";")[0].strip().lower() != "text/event-stream":
            raise CliError(
                Exit.ERROR,
                f"{client.url} answered with something that is no stream of events ({kind})",
                remedy="check the host and port: is it a peer's user port?",
            )
        pieces = arriving(response)
        for event in sse.events(sse.lines(heard.listen(pieces) if heard is not None else pieces), last_id=last_id):
            decoded = parse_object(event.data)
            if decoded is not None:
                yield event.id, decoded


_HEAD = ("id", "time", "event", "job", "frame", "peer")


def event_line(event: Event) -> str:
    """`TIME EVENT job=.. frame=.. peer=.. key=value ...` on one line."""
    named = [f"{key}={_shown(key, event[key])}" for key in ("job", "frame", "peer") if event.get(key) not in (None, "")]
    rest = [f"{key}={_shown(key, value)}" for key, value in event.items() if key not in _HEAD and value not in (None, "")]
    return plain("  ".join([str(event.get("time", "")), str(event.get("event", "")), *named, *rest]))


def _shown(key: str, value: Any) -> str:
    if key in ("job", "peer"):
        return short(str(value))
    return value if isinstance(value, str) else json.dumps(value)
