"""The levels at which a peer confines what runs foreign scenes, and which of them meets a demand."""

from __future__ import annotations

from typing import Final, Literal, get_args

Level = Literal["none", "landlock", "bwrap"]
Demand = Literal["any", "landlock", "bwrap"]

LEVELS: Final[tuple[Level, ...]] = get_args(Level)
"""Weakest first."""


def meets(level: str, demand: Demand) -> bool:
    """Whether a peer of `level` may take a job with that demand. A level that is not known here is none."""
    if demand == "any":
        return True
    return level in LEVELS and [*LEVELS].index(level) >= LEVELS.index(demand)
