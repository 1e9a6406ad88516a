"""Errors as documents (RFC 9457): a stable code, a sentence, and never what is inside.

Decides the shape of an error and which status a refusal has. Refuses to know routes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Literal, NotRequired, assert_never

from aiohttp import web
from typing_extensions import TypedDict

from peer.ports import Corrupt, StoreBroken, StoreFull
from protocol.errors import Conflict, Invalid, NotFound, Refusal, Unavailable

CONTENT_TYPE: Final = "application/problem+json"
STORE_RETRY_S: Final = 60.0
RETRY_S: Final = 5.0


class FieldError(TypedDict):
    """One field that is wrong, by its name as sent."""

    field: str
    message: str


class Problem(TypedDict):
    """The body of every error."""

    type: Literal["about:blank"]
    title: str
    status: int
    code: str
    detail: str
    request_id: NotRequired[str]
    errors: NotRequired[list[FieldError]]


class Refused(Exception):
    """An answer that only HTTP knows: a status with its code. `extra` are further members, `headers` go with it."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = list(errors)
        self.extra = dict(extra or {})


def wrong_fields(errors: Sequence[FieldError], *, code: str = "bad_field") -> Refused:
    """422 that names the fields; its sentence is the first error's."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Refused(422, code, f"{first['field']}: {first['message']}{more}", errors=errors)


def problem(refused: Refused, *, request_id: str = "") -> web.Response:
    """The response that says `refused`."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _title(refused.status),
        "status": refused.status,
        "code": refused.code,
        "detail": refused.detail,
    }
    if request_id:
        body["request_id"] = request_id
    if refused.errors:
        body["errors"] = refused.errors
    text = json.dumps({**body, **refused.extra})
    return web.Response(status=refused.status, text=text, content_type=CONTENT_TYPE, headers=refused.headers)


def from_refusal(error: Refusal) -> Refused:
    """What a refusal of the mesh or the store means in HTTP."""
    match error:
        case Invalid():
            return Refused(422, error.code, error.message)
        case NotFound():
            return Refused(404, error.code, error.message)
        case Conflict():
            return Refused(409, error.code, error.message)
        case Unavailable():
            return Refused(503, error.code, error.message, headers=retry_after(error.retry_after_s or RETRY_S))
        case _:
            return Refused(400, error.code, error.message)


def from_store(error: StoreFull | StoreBroken | Corrupt) -> Refused:
    """What a fault of the disk means in HTTP; its own text may name paths, so it stays in the log."""
    match error:
        case StoreFull():
            detail = "there is no space left on this peer; free some, or name another peer"
            return Refused(503, "store_full", detail, headers=retry_after(STORE_RETRY_S))
        case StoreBroken():
            detail = "this peer's disk has failed and it takes nothing more; name another peer"
            return Refused(503, "store_broken", detail, headers=retry_after(STORE_RETRY_S))
        case Corrupt():
            return Refused(503, "blob_corrupt", "the bytes here are damaged; try another peer", headers=retry_after(RETRY_S))
        case _:
            assert_never(error)


def from_aiohttp(error: web.HTTPException) -> Refused:
    """An answer that aiohttp itself gives: no such route, wrong method, body too large."""
    headers = {key: error.headers[key] for key in ("Allow", "Location") if key in error.headers}
    match error.status:
        case 404:
            return Refused(404, "no_such_route", "there is nothing at this path; see /docs for what there is", headers=headers)
        case 405:
            return Refused(405, "method_not_allowed", f"this path takes {headers.get('Allow', 'other methods')}", headers=headers)
        case 413:
            return Refused(413, "body_too_large", "the body is larger than this route takes", headers=headers)
        case _:
            return Refused(error.status, _title(error.status).lower().replace(" ", "_"), _title(error.status), headers=headers)


def retry_after(seconds: float) -> dict[str, str]:
    """The header, in whole seconds, at least one."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
