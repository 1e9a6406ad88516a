"""One route: what it takes, what it answers and who may ask. Pure data; the table stands in `routes.py`.

Enforcement (`guard.py`) and description (`openapi.py`) both read it, so that neither can say what the other does not do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from aiohttp import web

from peer.web.site import Handler
from protocol.access.roles import Permission


@dataclass(frozen=True, slots=True)
class Query:
    """One query parameter."""

    name: str
    text: str
    kind: Literal["string", "integer", "boolean"] = "string"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: `shape` is a TypedDict or a media type such as `text/plain`, None for no body."""

    status: int
    text: str
    shape: Any = None


@dataclass(frozen=True, slots=True)
class Route:
    """Invariant: `path` begins with a slash; every parameter in braces is described in `openapi.PARAMETERS`."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler
    permission: Permission
    summary: str
    answers: tuple[Answer, ...]
    queries: tuple[Query, ...] = ()
    body: Any = None
    body_types: tuple[str, ...] = ("application/json",)
    body_required: bool = False


ROUTES: Final = web.AppKey("routes", tuple)
