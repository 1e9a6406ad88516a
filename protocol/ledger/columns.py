"""Numbers by frame in a few bytes each, for a job of a million frames: columns of a table, and chains of numbers.

Refuses to know what the numbers mean.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final, Literal

SHIFT: Final = 8
SPAN: Final = 1 << SHIFT  # frames in a piece of a column


class Column:
    """One number from 0 for each frame; 0 is what a frame has that was never set, and costs nothing where all have it."""

    __slots__ = ("_code", "_pieces")

    def __init__(self, code: Literal["B", "I"]) -> None:
        """`code`: numbers of one byte, or of four."""
        self._code: Literal["B", "I"] = code
        self._pieces: dict[int, array[int]] = {}

    def __getitem__(self, frame: int) -> int:
        piece = self._pieces.get(frame >> SHIFT)
        return 0 if piece is None else piece[frame & (SPAN - 1)]

    def __setitem__(self, frame: int, number: int) -> None:
        """Raises OverflowError for a number that has no room."""
        piece = self._pieces.get(frame >> SHIFT)
        if piece is None:
            if number == 0:
                return
            piece = self._pieces[frame >> SHIFT] = array(self._code, bytes(SPAN * array(self._code).itemsize))
        piece[frame & (SPAN - 1)] = number

    def __iter__(self) -> Iterator[int]:
        """Frames that have another number than 0, sorted."""
        for key in sorted(self._pieces):
            yield from ((key << SHIFT) + at for at, number in enumerate(self._pieces[key]) if number)

    def after(self, frame: int) -> Iterator[int]:
        """Frames above this one that have another number than 0, sorted."""
        for key in sorted(key for key in self._pieces if key >= frame >> SHIFT):
            found = ((key << SHIFT) + at for at, number in enumerate(self._pieces[key]) if number)
            yield from (one for one in found if one > frame)

    def having(self, wanted: int) -> Iterator[int]:
        """Frames that have this number (not 0), sorted."""
        for key in sorted(self._pieces):
            piece = self._pieces[key]
            if wanted in piece:
                yield from ((key << SHIFT) + at for at, number in enumerate(piece) if number == wanted)


class Chains:
    """Some pairs of numbers for each frame, in the order in which they came."""

    __slots__ = ("_before", "_first", "_last", "_second")

    def __init__(self) -> None:
        self._last = Column("I")  # of each frame, where its last pair is, counted from 1
        self._before = array("I")  # and where the pair before each one is; 0: it is the frame's first
        self._first = array("I")
        self._second = array("I")

    def __contains__(self, frame: int) -> bool:
        return self._last[frame] != 0

    def add(self, frame: int, pair: tuple[int, int]) -> None:
        """One more for a frame."""
        self._before.append(self._last[frame])
        self._first.append(pair[0])
        self._second.append(pair[1])
        self._last[frame] = len(self._before)

    def of(self, frame: int) -> list[tuple[int, int]]:
        """All of a frame, the oldest first."""
        pairs: list[tuple[int, int]] = []
        at = self._last[frame]
        while at:
            pairs.append((self._first[at - 1], self._second[at - 1]))
            at = self._before[at - 1]
        return pairs[::-1]
