"""Where a machine puts bytes that it may want again much later, so that they do not fill its memory.

What was put is what comes back: a machine that asks decides the same, wherever the bytes have been meanwhile. Nothing here is
durable, and nothing needs to be: what must survive is in the journal.
"""

from __future__ import annotations

from itertools import count
from typing import Protocol

from protocol import limits


class Attic(Protocol):
    """Bytes by place. A place is this attic's own number for what it took in."""

    batch: int
    """So many small things make a piece that is worth a place of its own."""

    def put(self, data: bytes) -> int:
        """Take bytes in; where they are from now on."""
        ...

    def get(self, place: int) -> bytes:
        """What was put there, as often as wanted."""
        ...

    def drop(self, place: int) -> None:
        """Nobody will ask for this place again."""
        ...


class MemoryAttic:
    """Satisfies `Attic` without a disk."""

    def __init__(self, batch: int = limits.ATTIC_BATCH) -> None:
        self.batch = batch
        self._kept: dict[int, bytes] = {}
        self._places = count()

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, data: bytes) -> int:
        place = next(self._places)
        self._kept[place] = data
        return place

    def get(self, place: int) -> bytes:
        return self._kept[place]

    def drop(self, place: int) -> None:
        del self._kept[place]
