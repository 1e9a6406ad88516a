"""What every handler is given: the ports, the options and the few counters that bound what happens at once.

Decides nothing. The composition root builds it once; handlers reach it through the application.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web

from peer.ports import Blobs, Forward, Mesh
from peer.telemetry.metrics import Metrics
from protocol import limits
from protocol.access.roles import Role
from protocol.errors import Unavailable
from protocol.ids import PeerId
from protocol.jobs.manifest import Manifest

LOOKS_AT_ONCE_MAX: Final = 2  # each opens a scene in a renderer of its own

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Roles = Callable[[web.Request], Role | None]


def everyone_is_admin(_request: web.Request) -> Role | None:
    """For a port that only this machine reaches, or a closed lab: no login."""
    return "admin"


def _local(_request: web.Request) -> str:
    return "local"


async def _no_scene() -> Manifest | None:
    return None


def _by_no_name(_name: str) -> str | None:
    return None


def _built_in() -> Sequence[str]:
    return ("blender", "null")


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class WebOptions:
    """How the user port behaves.

    `check_scene(renderer, path)` runs on a thread, gives the version that saved the scene, where it knows it, and raises
    `Invalid`; `renderer_of` gives the renderer of a main file by its name, `renderers` those that a job may name. `roles` gives
    a caller's role (None: no login), `roles_now` the same looked up anew while an answer lasts (None: roles never change here),
    `submitter` its name. `default_scene` is for the simple endpoints; `null_only` says that this peer renders with `null` alone.
    `authority` gives the mesh's certificate (PEM), where this port shows a leaf of it. `host_names` are further names
    under which a loopback port may be addressed (a proxy on the same machine). `shared_roots` are folders that scenes may be read
    from.
    """

    version: str
    check_scene: Callable[[str, Path], tuple[int, int] | None]
    roles: Roles = everyone_is_admin
    roles_now: Roles | None = None
    submitter: Callable[[web.Request], str] = _local
    default_scene: Callable[[], Awaitable[Manifest | None]] = _no_scene
    null_only: Callable[[], bool] = _never
    authority: Callable[[], str] | None = None
    shared_roots: Mapping[str, Path] = field(default_factory=dict)
    renderer_of: Callable[[str], str | None] = _by_no_name
    renderers: Callable[[], Sequence[str]] = _built_in
    host_names: tuple[str, ...] = ()
    scene_bytes_max: int = limits.SCENE_BYTES_MAX
    body_grace_s: float = limits.HTTP_BODY_GRACE_S
    heartbeat_s: float = limits.EVENT_HEARTBEAT_S
    rights_look_s: float = limits.RIGHTS_LOOK_S


class Slots:
    """At most `most` at once. Invariant: `used` returns to what it was when the `with` block ends."""

    def __init__(self, most: int, code: str, what: str) -> None:
        self._most, self._code, self._what = most, code, what
        self.used = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Raises `Unavailable` when all are taken."""
        if self.used >= self._most:
            raise Unavailable(
                self._code, f"{self._most} {self._what} at once are the most that this peer serves", retry_after_s=5.0
            )
        self.used += 1
        try:
            yield
        finally:
            self.used -= 1


@dataclass(slots=True)
class Site:
    """One user port. `run` tells this process's event ids from those of an earlier one."""

    mesh: Mesh
    blobs: Blobs
    forward: Forward
    options: WebOptions
    metrics: Metrics
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    uploads: Slots = field(default_factory=lambda: Slots(limits.UPLOADS_AT_ONCE_MAX, "too_many_uploads", "uploads"))
    archives: Slots = field(default_factory=lambda: Slots(limits.ARCHIVES_AT_ONCE_MAX, "too_many_archives", "archives"))
    looks: Slots = field(default_factory=lambda: Slots(LOOKS_AT_ONCE_MAX, "too_many_inspections", "inspections"))
    streams: Slots = field(default_factory=lambda: Slots(limits.EVENT_STREAMS_MAX, "too_many_streams", "event streams"))
    waiting: Slots = field(default_factory=lambda: Slots(limits.BLOCKING_QUERIES_MAX, "too_many_waiting", "waiting queries"))


_ID: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{limits.REQUEST_ID_CHARS_MAX}}}\Z", re.ASCII)
SITE: Final = web.AppKey("site", Site)
REQUEST_ID: Final = web.RequestKey("request_id", str)
FORWARDER: Final = web.RequestKey("forwarder", PeerId)  # the peer that passed this request on, proven by its certificate
ROLE: Final = web.RequestKey("role", str)
BEGUN: Final = web.RequestKey("begun", bool)  # the head of the answer is on its way


def name_request(request: web.Request) -> str:
    """The id of this request: the client's own where it is a plain one, else a new one."""
    given = request.headers.get("X-Request-Id", "")
    if REQUEST_ID not in request:
        request[REQUEST_ID] = given if _ID.match(given) else secrets.token_hex(8)
    return request[REQUEST_ID]


def site_of(request: web.Request) -> Site:
    """The site that this request came to."""
    return request.config_dict[SITE]


def forwarded_by(request: web.Request) -> PeerId | None:
    """The peer that passed this request on over the mesh port, None for a client's own."""
    return request.get(FORWARDER)
