"""File names from what artists wrote, and whole pixels from parts of a side. Pure text and arithmetic."""

from __future__ import annotations

import re
import struct


def unique(text: str, taken: set[str]) -> str:
    """A file name from whatever the artist wrote: letters, digits, `-`, `_` and no other; different from `taken`.

    Never ends in a digit, since Blender appends the frame's number.
    """
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", text.replace("#", "")).strip("_")[:60] or "output"
    stem += "_" if stem[-1].isdigit() else ""
    name, number = stem, 1
    while name.lower() in taken:
        number += 1
        name = f"{stem}_{number}_"
    taken.add(name.lower())
    return name


def pixels(part: float, side: int) -> int:
    """`part` of `side` pixels, in single precision, cut off: so C does it."""
    return int(struct.unpack("f", struct.pack("f", part * side))[0])
