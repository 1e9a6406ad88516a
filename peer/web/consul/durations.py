"""Go's durations, as Consul's clients write them: "10s", "1h30m", "250ms", or a number of nanoseconds. Pure."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_WHOLE: Final = re.compile(rf"[+-]?(?:0|(?:{_PART.pattern})+)\Z", re.ASCII)
CHARS_MAX: Final = 64
NANOSECONDS_MAX: Final = 2**63 - 1


def parse_duration(text: str) -> float:
    """Seconds. Raises `ValueError` with the words of Go's own parser."""
    if len(text) > CHARS_MAX or not _WHOLE.match(text):
        raise ValueError(f'time: invalid duration "{text[:CHARS_MAX]}"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return -seconds if text.startswith("-") else seconds


def as_seconds(value: object) -> float:
    """A duration in a JSON body: text, or a number of nanoseconds; null is none. Raises `ValueError`."""
    match value:
        case None | "":
            return 0.0
        case bool():
            raise ValueError("a duration is text such as 10s, or a number of nanoseconds")
        case int() | float() if abs(value) <= NANOSECONDS_MAX:
            return value / 1e9
        case str():
            return parse_duration(value)
        case _:
            raise ValueError("a duration is text such as 10s, or a number of nanoseconds")
