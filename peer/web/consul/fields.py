"""Reading bodies as Go reads them: names in any case and with or without `_`, null for nothing, strict about kinds.

Decides how a JSON value becomes a plain one of a bounded size. Refuses to know services and checks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from peer.web.consul.durations import as_seconds
from peer.web.problems import Refused
from peer.web.requests import read_body

_MISSING: Final = object()


def bad(text: str) -> Refused:
    """400 with a sentence."""
    return Refused(400, "bad_request", text)


def undecodable(text: str) -> Refused:
    """400 in Consul's words."""
    return bad(f"Request decode failed: {text}")


async def read_fields(request: web.Request) -> Fields:
    """The body, whatever its Content-Type says. Raises `Refused` 400, 408, 413."""
    body = await read_body(request)
    try:
        value = json.loads(body) if body.strip() else _MISSING
    except (ValueError, RecursionError) as error:
        raise undecodable(str(error) or "too deep") from None
    if value is _MISSING:
        raise undecodable("EOF")
    return Fields.of(value, "the body")


def fold(name: str) -> str:
    """How names are compared: `enable_tag_override` is `EnableTagOverride`."""
    return name.replace("_", "").lower()


class Fields:
    """One JSON object. Every reader takes the name as Consul's documentation writes it, and raises `Refused` 400."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values = {fold(name): value for name, value in values.items()}
        self._where = where

    @classmethod
    def of(cls, value: object, where: str) -> Fields:
        """Raises `Refused` 400 when `value` is no object."""
        if value is None:
            return cls({}, where)
        if not isinstance(value, dict):
            raise undecodable(f"{where} must be a JSON object")
        return cls(value, where)

    def value(self, name: str) -> Any:
        """As it came, None when it is absent or null."""
        return self._values.get(fold(name))

    def text(self, name: str, chars_max: int) -> str:
        return plain_text(self._or(name, ""), name, chars_max)

    def number(self, name: str, low: int, high: int, *, default: int = 0) -> int:
        value = self._or(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise undecodable(f"{name} must be a whole number")
        if not low <= value <= high:
            raise bad(f"Invalid {name}: {str(value)[:40]} is not between {low} and {high}")
        return value

    def flag(self, name: str) -> bool:
        value = self._or(name, False)
        if not isinstance(value, bool):
            raise undecodable(f"{name} must be true or false")
        return value

    def seconds(self, name: str) -> float:
        try:
            return as_seconds(self.value(name))
        except ValueError as error:
            raise undecodable(str(error)) from None

    def list(self, name: str, count_max: int) -> list[Any]:
        value = self._or(name, [])
        if not isinstance(value, list):
            raise undecodable(f"{name} must be a list")
        if len(value) > count_max:
            raise bad(f"Invalid {name}: {len(value)} entries, at most {count_max}")
        return value

    def texts(self, name: str, *, count_max: int, chars_max: int) -> tuple[str, ...]:
        return tuple(plain_text(one, name, chars_max) for one in self.list(name, count_max))

    def map(self, name: str, count_max: int) -> dict[str, Any]:
        """An object whose names are data: they are left as they are."""
        value = self._or(name, {})
        if not isinstance(value, dict):
            raise undecodable(f"{name} must be a JSON object")
        if len(value) > count_max:
            raise bad(f"Invalid {name}: {len(value)} entries, at most {count_max}")
        return value

    def _or(self, name: str, default: Any) -> Any:
        value = self.value(name)
        return default if value is None else value


def plain_text(value: object, name: str, chars_max: int) -> str:
    """Text that can be stored and shown: bounded, without control characters and half characters."""
    if not isinstance(value, str):
        raise undecodable(f"{name} must be text")
    if len(value) > chars_max:
        raise bad(f"Invalid {name}: {len(value)} characters, at most {chars_max}")
    if any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000 for char in value):
        raise bad(f"Invalid {name}: it has a control character or half of a surrogate pair in it")
    return value
