"""What Consul's reads have in common: waiting for a change, headers, filters by tag and metadata.

Decides when a waiting query answers: when what it asks about has changed since its index, or its time is over.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from aiohttp import web

from peer.ports import Registry
from peer.web.consul.durations import parse_duration
from peer.web.consul.fields import bad
from peer.web.guard import guard_again
from peer.web.problems import Refused
from peer.web.site import Site, site_of
from protocol import limits
from protocol.services import NodeSeen, ServiceSeen

T = TypeVar("T")
JITTER: Final = 16  # a wait is longer by up to a sixteenth of itself, so that clients do not come back all at once
INDEX_MAX: Final = 2**64 - 1
_NUMBER: Final = re.compile(r"\d{1,20}\Z", re.ASCII)
TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})  # as Go's ParseBool has them
FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def registry_of(request: web.Request) -> Registry:
    """The services and checks behind this port."""
    return site_of(request).mesh.registry


async def answer(request: web.Request, topics: Iterable[str], make: Callable[[Registry], Any]) -> web.StreamResponse:
    """A read of the catalogue: at once, or when one of `topics` has changed. Raises `Refused` 400, 500, 503, and 401 for a key
    that was revoked meanwhile."""
    refuse_elsewhere(request)
    registry, shown = registry_of(request), tuple(topics)
    asked, wait_s = wanted_index(request), wanted_wait(request)
    if 0 < asked:
        await _wait(site_of(request), request, shown, asked, wait_s)
        guard_again(request)
    return reply(request, make(registry), index=_index(registry, shown))


def reply(
    request: web.Request, value: Any, *, index: int = 0, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """JSON with the headers that clients look for. An answer that has no topic carries the newest index of all."""
    text = json.dumps(value, indent=4) if "pretty" in request.query else json.dumps(value, separators=(",", ":"))
    return web.Response(
        status=status,
        text=text,
        content_type="application/json",
        headers={
            "X-Consul-Index": str(index or registry_of(request).index),
            "X-Consul-KnownLeader": "true",
            "X-Consul-LastContact": "0",
            **(headers or {}),
        },
    )


def done() -> web.Response:
    """A change that was made: 200 without a body."""
    return web.Response(status=200)


def _index(registry: Registry, topics: tuple[str, ...]) -> int:
    return max(registry.index_of(topic) for topic in topics)


async def _wait(site: Site, request: web.Request, topics: tuple[str, ...], asked: int, wait_s: float) -> None:
    """Until the index is another than `asked`: an older one is news, and a newer one is from somewhere else, so that both
    answer at once. A client that has gone is noticed within `limits.BLOCKING_LOOK_S`."""
    registry, loop = site.mesh.registry, asyncio.get_running_loop()
    until = loop.time() + wait_s + random.uniform(0, wait_s / JITTER)
    with site.waiting.one():
        while _index(registry, topics) == asked and not site.closing.is_set():
            guard_again(request)
            left_s = until - loop.time()
            if left_s <= 0 or request.transport is None or request.transport.is_closing():
                return
            await registry.changed(min(left_s, limits.BLOCKING_LOOK_S))


def wanted_index(request: web.Request) -> int:
    """`?index`: 0 does not wait. Raises `Refused` 400."""
    text = request.query.get("index", "") or "0"
    if not _NUMBER.match(text) or int(text) > INDEX_MAX:
        raise bad("Invalid index")
    return int(text)


def wanted_wait(request: web.Request) -> float:
    """`?wait` in seconds: 5 minutes when nothing is said, at most 10. Raises `Refused` 400."""
    text = request.query.get("wait", "")
    try:
        seconds = parse_duration(text) if text else limits.BLOCKING_WAIT_S_DEFAULT
    except ValueError:
        raise bad("Invalid wait time") from None
    if seconds < 0:
        raise bad("Invalid wait time")
    return min(seconds or limits.BLOCKING_WAIT_S_DEFAULT, limits.BLOCKING_WAIT_S_MAX)


def refuse_elsewhere(request: web.Request) -> None:
    """Another data centre, another namespace's consistency, a filter language: said, not ignored."""
    query = request.query
    wanted = query.get("dc", "")
    if wanted and wanted != registry_of(request).datacenter:
        raise Refused(500, "no_path", "No path to datacenter")
    if "stale" in query and "consistent" in query:
        raise bad("Cannot specify ?stale with ?consistent, conflicting semantics.")
    if query.get("filter"):
        raise bad("Filter expressions are not supported by this agent; select in the client")


def is_set(request: web.Request, name: str) -> bool:
    """A parameter that may stand without a value. Raises `Refused` 400."""
    text = request.query.get(name)
    if text is None or text in FALSE:
        return False
    if text == "" or text in TRUE:
        return True
    raise bad(f"Invalid value for ?{name}")


def fits_meta(request: web.Request, node: NodeSeen) -> bool:
    """Whether a node has every `?node-meta=key:value`."""
    have = dict(node.meta)
    pairs = (text.partition(":") for text in request.query.getall("node-meta", []))
    return all(have.get(key) == value for key, _, value in pairs)


def fits_tags(request: web.Request, seen: ServiceSeen) -> bool:
    """Whether an instance has every `?tag`, in any case."""
    have = {tag.lower() for tag in seen.service.tags}
    return all(tag.lower() in have for tag in request.query.getall("tag", []) if tag)
