"""What goes wrong, as people read it and as scripts see it: one exception, one exit code each.

Decides the exit code and the advice for every answer of a peer. Refuses to know how it is printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """The exit codes of peerctl: part of its contract."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    UNAUTHORISED = 4
    CONFLICT = 5
    BUSY = 6
    UNREACHABLE = 7
    TIMED_OUT = 8
    INCOMPLETE = 9  # some frames failed or held
    REFUSED = 10  # by validation
    INTERRUPTED = 130


class CliError(Exception):
    """What happened (`what`), why, and what to do next; `code` is the peer's stable error code where there is one."""

    def __init__(self, exit_code: Exit, what: str, *, why: str = "", remedy: str = "", code: str = "") -> None:
        super().__init__(what)
        self.exit_code = exit_code
        self.what = what
        self.why = why
        self.remedy = remedy
        self.code = code


class Busy(CliError):
    """A peer cannot take it now (429 or 503). `retry_after_s` is its own wish, None where it named none."""

    def __init__(self, what: str, *, status: int, retry_after_s: float | None, remedy: str, code: str, why: str = "") -> None:
        super().__init__(Exit.BUSY, what, why=why, remedy=remedy, code=code)
        self.status = status
        self.retry_after_s = retry_after_s


class Unreachable(CliError):
    """No host answered at all. `begun`: one was connected to, and may have done what was asked."""

    def __init__(self, exit_code: Exit, what: str, *, begun: bool = False, why: str = "", remedy: str = "") -> None:
        super().__init__(exit_code, what, why=why, remedy=remedy)
        self.begun = begun


_EXITS: Mapping[int, Exit] = {
    400: Exit.REFUSED,
    401: Exit.UNAUTHORISED,
    403: Exit.UNAUTHORISED,
    404: Exit.NOT_FOUND,
    408: Exit.TIMED_OUT,
    409: Exit.CONFLICT,
    410: Exit.NOT_FOUND,
    412: Exit.CONFLICT,
    413: Exit.REFUSED,
    415: Exit.REFUSED,
    416: Exit.CONFLICT,
    422: Exit.REFUSED,
    423: Exit.CONFLICT,
    428: Exit.CONFLICT,
    504: Exit.TIMED_OUT,
}

_REMEDIES: Mapping[int, str] = {
    401: "set PEERCTL_TOKEN or PEERCTL_TOKEN_FILE to a key of this mesh",
    403: "ask an operator of this mesh for a key with the role that this needs",
    404: "see what there is: peerctl jobs, peerctl peers",
    429: "wait, or ask an operator for a higher limit",
    503: "wait, or name another peer: -H HOST",
}


def from_answer(status: int, problem: Mapping[str, Any], *, host: str, retry_after: str | None, request_id: str) -> CliError:
    """The error that an answer of `status` >= 400 means. `problem` is its RFC 9457 body, empty where it had none."""
    title = _text(problem, "title") or f"the peer answered {status}"
    what = _text(problem, "detail") or title
    code = _text(problem, "code")
    remedy = _text(problem, "remedy") or _REMEDIES.get(status, "")
    why = "; ".join(part for part in (_fields(problem, what), f"{host} answered {status}", _request(request_id)) if part)
    if status in (429, 503):
        wait = seconds(retry_after)
        return Busy(what, status=status, retry_after_s=wait, remedy=remedy, code=code, why=why)
    if not remedy and status >= 500:
        remedy = "look at that peer's log for this request, or name another peer: -H HOST"
    return CliError(_EXITS.get(status, Exit.ERROR), what, why=why, remedy=remedy, code=code)


def seconds(retry_after: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or an HTTP date), None where it has no meaning."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    from email.utils import parsedate_to_datetime
    from time import time

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, OverflowError, TypeError, IndexError):  # the last two are its own on dates of some shapes
        return None


def _text(problem: Mapping[str, Any], key: str) -> str:
    value = problem.get(key)
    return value if isinstance(value, str) else ""


def _request(request_id: str) -> str:
    return f"request {request_id}" if request_id else ""


def _fields(problem: Mapping[str, Any], said: str) -> str:
    """`field: message` of each entry of `errors` that the detail does not name already."""
    errors = problem.get("errors")
    if not isinstance(errors, list):
        return ""
    texts = [_field(entry) for entry in errors[:20] if isinstance(entry, dict)]
    return "; ".join(text for text in texts if text and text not in said)


def _field(entry: Mapping[str, Any]) -> str:
    name = _text(entry, "field") or _text(entry, "name")
    message = _text(entry, "message") or _text(entry, "detail") or _text(entry, "reason")
    return f"{name}: {message}" if name and message else name or message
