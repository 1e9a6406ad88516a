"""Frozen dataclasses to compact msgpack rows and back, hand-checked: the form in which peers publish views of themselves.

A row is a list of the fields in order. Fields that a newer peer appended are ignored; missing ones take their defaults.
Raises `Malformed` for anything that does not fit, never anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import msgpack

from protocol import limits
from protocol.errors import Malformed

T = TypeVar("T")


def pack(row: object) -> bytes:
    """msgpack of plain lists."""
    packed = msgpack.packb(row)
    assert isinstance(packed, bytes)
    return packed


def unpack_list(data: bytes, *, bytes_max: int = limits.MESSAGE_BYTES_MAX) -> list[Any]:
    """The list that `data` holds. Raises `Malformed`."""
    if len(data) > bytes_max:
        raise Malformed(f"{len(data)} bytes, at most {bytes_max} allowed")
    try:
        row = msgpack.unpackb(data, strict_map_key=True)
    except Exception as error:  # msgpack raises a dozen kinds, ValueError to RecursionError
        raise Malformed(f"not msgpack: {type(error).__name__}") from None
    if not isinstance(row, list):
        raise Malformed("not a list")
    return row


def bad(what: str) -> NoReturn:
    """Raise `Malformed`."""
    raise Malformed(what)


class Reader:
    """Takes checked values from a row, one after the other. Invariant: never raises anything but `Malformed`."""

    __slots__ = ("_at", "_row")

    def __init__(self, row: object) -> None:
        if not isinstance(row, list):
            raise Malformed("not a list")
        self._row: list[Any] = row
        self._at = 0

    def _next(self) -> Any:
        if self._at >= len(self._row):
            raise Malformed(f"row ends before field {self._at}")
        self._at += 1
        return self._row[self._at - 1]

    @property
    def more(self) -> bool:
        """Whether another field is there (an older writer may have known fewer)."""
        return self._at < len(self._row)

    def text(self, chars_max: int = limits.REASON_CHARS_MAX) -> str:
        value = self._next()
        return value if isinstance(value, str) and len(value) <= chars_max else bad("text expected")

    def optional_text(self, chars_max: int = limits.REASON_CHARS_MAX) -> str | None:
        value = self._next()
        return value if value is None or (isinstance(value, str) and len(value) <= chars_max) else bad("text or nil expected")

    def integer(self, low: int = 0, high: int = 2**63 - 1) -> int:
        value = self._next()
        return (
            value if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high else bad("integer expected")
        )

    def optional_integer(self) -> int | None:
        value = self._next()
        return (
            value if value is None or (isinstance(value, int) and not isinstance(value, bool)) else bad("integer or nil expected")
        )

    def number(self) -> float:
        value = self._next()
        fits = isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e18
        return float(value) if fits else bad("number expected")

    def optional_number(self) -> float | None:
        if self.more and self._row[self._at] is None:
            self._at += 1
            return None
        return self.number()

    def flag(self) -> bool:
        value = self._next()
        return value if isinstance(value, bool) else bad("boolean expected")

    def texts(self, count_max: int = 256, chars_max: int = limits.REASON_CHARS_MAX) -> tuple[str, ...]:
        return self.each(
            lambda item: item if isinstance(item, str) and len(item) <= chars_max else bad("text expected"), count_max
        )

    def each(self, read: Callable[[Any], T], count_max: int) -> tuple[T, ...]:
        value = self._next()
        if not isinstance(value, list) or len(value) > count_max:
            raise Malformed(f"list of at most {count_max} expected")
        return tuple(read(item) for item in value)

    def choice(self, choices: Sequence[T]) -> T:
        value = self._next()
        for choice in choices:
            if value == choice and type(value) is type(choice):
                return choice
        raise Malformed("none of the known values")
