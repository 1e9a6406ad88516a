"""Reading what clients send: bounded, at a pace, with errors that name the field.

Decides how a body, a query and a path become values. Refuses to know what they are for.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import math
import re
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from peer.web.pace import Pace
from peer.web.problems import FieldError, Refused, wrong_fields
from peer.web.site import Site, site_of
from protocol import limits
from protocol.errors import Invalid, NotFound

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)
_INTEGER: Final = re.compile(r"-?\d{1,9}\Z", re.ASCII)
_TOO_SLOW: Final = f"the body came slower than {limits.HTTP_BODY_BYTES_PER_S_MIN // 1024} KiB per second"


def pace_of(site: Site) -> Pace:
    """A fresh budget for one body."""
    return Pace(grace_s=site.options.body_grace_s, bytes_per_s=limits.HTTP_BODY_BYTES_PER_S_MIN, total_s=limits.HTTP_BODY_S_MAX)


async def paced(pace: Pace, read: Awaitable[T]) -> T:
    """Wait for the client within its budget. Raises `Refused` 408; received bytes are charged by the caller."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(pace.allowance_s):
            value = await read
    except TimeoutError:
        raise Refused(408, "body_too_slow", _TOO_SLOW, headers={"Connection": "close"}) from None
    pace.charge(waited_s=loop.time() - began, received_bytes=0)
    return value


def refuse_large(request: web.BaseRequest, most: int) -> None:
    """413 by the header, before a byte of the body is read."""
    if (request.content_length or 0) > most:
        raise too_large(most)


def too_large(most: int) -> Refused:
    """The connection closes with it: what else the client sends is not read."""
    return Refused(413, "body_too_large", f"the body is larger than {most:,} bytes", headers={"Connection": "close"})


async def read_body(request: web.Request, most: int = limits.HTTP_BODY_BYTES_MAX) -> bytes:
    """The whole body. Raises `Refused` 413, 408."""
    refuse_large(request, most)
    pace = pace_of(site_of(request))
    body = bytearray()
    while piece := await paced(pace, request.content.readany()):
        pace.charge(waited_s=0.0, received_bytes=len(piece))
        body += piece
        if len(body) > most:
            raise too_large(most)
    return bytes(body)


async def read_object(request: web.Request, *, empty: bool = False) -> dict[str, Any]:
    """A JSON object; with `empty` no body at all is `{}`. Raises `Refused` 400 (`bad_json`), 413, 408."""
    body = await read_body(request)
    if empty and not body.strip():
        return {}
    return parse_object(body)


def parse_object(body: bytes | str) -> dict[str, Any]:
    """Raises `Refused` 400 (`bad_json`)."""
    try:
        value = json.loads(body, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_no_doubles)
        is_unicode = _is_unicode(value)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError | _Doubled) else "it is not UTF-8, too deep or not a number"
        raise Refused(400, "bad_json", f"the body is not JSON: {reason}") from None
    if not isinstance(value, dict) or not is_unicode:
        raise Refused(400, "bad_json", 'the body must be a JSON object, such as {"frames": "1-48"}')
    return value


def _is_unicode(value: object) -> bool:
    """JSON can write halves of surrogate pairs, which no file and no message can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


class _Doubled(ValueError):
    pass


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Doubled("a name occurs twice in one object")
    return value


def _finite(text: str) -> float:
    """What is too large for a float would be written as a word that is not JSON."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large")
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def validated(model: type[ModelT], values: Mapping[str, Any]) -> ModelT:
    """An instance of `model`. Raises `Refused` 422 that names every wrong field, and suggests a name for an unknown one."""
    try:
        return model(**values)
    except Invalid as error:  # a validator of ours, with a code of its own
        field = error.message.partition(":")[0] if error.message.partition(":")[0] in model.model_fields else ""
        message = error.message.removeprefix(f"{field}: ")
        raise Refused(422, error.code, error.message, errors=[{"field": field, "message": message}] if field else []) from None
    except ValidationError as error:
        found = [
            _field_error(model, row["type"], row["loc"], row["msg"])
            for row in error.errors(include_url=False, include_input=False)
        ]
        unknown = any(row["type"] == "extra_forbidden" for row in error.errors(include_url=False, include_input=False))
        raise wrong_fields(found[:50], code="unknown_field" if unknown else "bad_field") from None


def _field_error(model: type[BaseModel], kind: str, location: tuple[int | str, ...], text: str) -> FieldError:
    field = ".".join(str(part) for part in location)[:200]
    if kind == "extra_forbidden":
        return {"field": field, "message": f"unknown field{nearest(field, model.model_fields)}"}
    return {"field": field, "message": text.removeprefix("Value error, ")}


def nearest(word: str, known: Iterable[str]) -> str:
    """`, did you mean ...?`, or nothing when no known name is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def page_limit(request: web.Request) -> int:
    """`limit` of a list. Raises `Refused` 422."""
    text = request.query.get("limit", str(limits.PAGE_ITEMS))
    if not _INTEGER.match(text) or not 1 <= int(text) <= limits.PAGE_ITEMS_MAX:
        raise wrong_fields([{"field": "limit", "message": f"must be a whole number from 1 to {limits.PAGE_ITEMS_MAX}"}])
    return int(text)


def bad_cursor() -> Refused:
    """A cursor that no page has given."""
    return wrong_fields([{"field": "cursor", "message": "not a cursor of this list; begin again without one"}])


def flag(request: web.Request, name: str, *, default: bool) -> bool:
    """A yes-or-no parameter. Raises `Refused` 422."""
    text = request.query.get(name, "true" if default else "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise wrong_fields([{"field": name, "message": "must be true or false"}])
    return text in ("true", "1")


def frame_number(request: web.Request) -> int:
    """`{frame}` of the path. Raises `NotFound`."""
    text = request.match_info["frame"]
    if not _INTEGER.match(text):
        raise NotFound("no_such_frame", f"{text[:20]!r} is not a frame number")
    return int(text)
