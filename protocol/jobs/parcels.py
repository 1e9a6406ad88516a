"""Finished frames on their way to an output root: what is to be put there, and what became of it. Plain rows."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.jobs.results import Output


@dataclass(frozen=True, slots=True)
class Parcel:
    """One frame to deliver: `names` run parallel to `outputs`, relative to the destination's folder.

    `replaces` are the pixel hashes of this frame's lower generations: a file that has one of them gives way."""

    frame: int
    generation: int
    names: tuple[str, ...]
    outputs: tuple[Output, ...]
    replaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """One frame has been dealt with. `conflicts` are names under which somebody else's file was found, and kept."""

    frame: int
    generation: int
    conflicts: tuple[str, ...] = ()
