"""JSON from outside: what peers answer, and the small files that this account keeps.

Decides what is JSON at all. Python would take more: infinities, and whole numbers that no float and no table can hold.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

from peer.cli import bounds

DIGITS_MAX: Final = 30


def parse(text: str | bytes) -> Any:
    """The value that `text` says. Raises `ValueError` for anything else than JSON, however deep it is nested."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_object(text: str | bytes) -> dict[str, Any] | None:
    """The object that `text` says, None for anything else."""
    try:
        value = parse(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def read_bounded(path: Path) -> str:
    """The text of a small file. Raises OSError, and `ValueError` for one that is none."""
    with path.open("rb") as file:
        data = file.read(bounds.SMALL_FILE_BYTES_MAX + 1)
    if len(data) > bounds.SMALL_FILE_BYTES_MAX:
        raise ValueError(f"more than {bounds.SMALL_FILE_BYTES_MAX:,} bytes")
    return data.decode("utf-8")


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:DIGITS_MAX]} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise ValueError(f"{text[:DIGITS_MAX]} is too large")
    return int(text)
