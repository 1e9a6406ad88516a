"""Which frames of a list somebody means: `1-10,20,100-200x5`. The mesh itself decides what frames a job has."""

from __future__ import annotations

import re
from collections.abc import Iterable

from peer.cli import bounds
from peer.cli.failures import CliError, Exit

_NUMBER = r"-?\d{1,9}"
_PART = re.compile(rf"({_NUMBER})(?:\s*-\s*({_NUMBER})(?:\s*x\s*(\d{{1,9}}))?)?\Z", re.ASCII)


def parse_ranges(text: str) -> tuple[range, ...]:
    """Inclusive ranges with an optional step. Raises `CliError` (usage) that shows the part at fault."""
    if len(text) > bounds.FRAMES_TEXT_CHARS_MAX:
        raise CliError(Exit.USAGE, "the list of frames is too long")
    return tuple(_part(piece.strip()) for piece in text.split(","))


def _part(piece: str) -> range:
    match = _PART.match(piece)
    if match is None:
        raise CliError(Exit.USAGE, f"cannot read the frames {piece[:40]!r}", remedy="write for example -f 1-48,60,100-200x5")
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    step = 1 if match[3] is None else int(match[3])
    if step == 0 or last < first:
        raise CliError(Exit.USAGE, f"the frames {piece[:40]!r} mean none", remedy="write for example -f 1-48,60,100-200x5")
    return range(first, last + 1, step)


def compact(numbers: Iterable[int]) -> str:
    """Sorted frame numbers as text: `1-3,7`."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
