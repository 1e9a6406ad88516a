"""Events of a peer as objects: those that it keeps, or those and all that follow. Refuses to know how they are shown."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from urllib3.exceptions import HTTPError, ReadTimeoutError

from peer.cli import bounds, sse
from peer.cli.client import Call, MeshClient
from peer.cli.documents import parse_object
from peer.cli.failures import Unreachable
from peer.cli.screen import plain
from peer.cli.tables import short

Event = dict[str, Any]


def kept_events(client: MeshClient, path: str, *, last_id: str = "") -> Iterator[tuple[str, Event]]:
    """`(id, event)` of what the peer keeps, after `last_id`; then the end. Raises `CliError`."""
    try:
        yield from _stream(client, path, last_id=last_id, follow=False)
    except HTTPError:
        return  # the next call goes on after the last id that was seen


def followed_events(client: MeshClient, path: str, *, last_id: str = "", silent_s: float) -> Iterator[Event | None]:
    """Events for ever, resumed after a break; None after each silence, so that the caller can look round.

    Raises `CliError` when no peer has answered for `silent_s` seconds.
    """
    heard = time.monotonic()
    url = client.url
    while True:
        try:
            resume_at = last_id if client.url == url else ""
            for event_id, event in _stream(client, path, last_id=resume_at, follow=True):
                last_id, heard, url = event_id, time.monotonic(), client.url
                yield event
            heard = time.monotonic()
        except Unreachable:
            if time.monotonic() - heard > silent_s:
                raise
        except ReadTimeoutError:
            heard = time.monotonic()
        except HTTPError:
            pass
        yield None
        time.sleep(bounds.POLL_FIRST_S)


def _stream(client: MeshClient, path: str, *, last_id: str, follow: bool) -> Iterator[tuple[str, Event]]:
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
    params = {} if follow else {"follow": "false"}
    with client.stream(Call("GET", path, params=params, headers=headers, read_timeout_s=bounds.EVENT_SILENCE_S)) as response:
        for event in sse.events(sse.lines(response.stream(None)), last_id=last_id):
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
