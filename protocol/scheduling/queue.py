"""Which frames of one job nobody has yet, in the order that was asked for. Positions, not frame numbers."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from heapq import heappop, heappush

EVERY_NTH = 8


def order_positions(count: int, order: str) -> array[int]:
    """Positions 0..count-1: sequential; every 8th first and then the rest; or from the middle outwards."""
    if order == "every-nth":
        return array("i", [at for offset in range(EVERY_NTH) for at in range(offset, count, EVERY_NTH)])
    if order == "middle":
        middle = count // 2
        return array("i", sorted(range(count), key=lambda at: (abs(at - middle), at)))
    return array("i", range(count))


class FrameQueue:
    """Pending positions of one job. Invariant: a position is in it at most once. Memory: 8 bytes a frame."""

    def __init__(self, count: int, order: str, *, is_pending: Callable[[int], bool]) -> None:
        self._order = order_positions(count, order)
        self._rank = array("i", bytes(4 * count))
        for rank, at in enumerate(self._order):
            self._rank[at] = rank
        self._cursor = 0
        self._returned: list[int] = []  # heap of ranks
        self._is_pending = is_pending
        self._length = sum(1 for at in self._order if is_pending(at))

    def __len__(self) -> int:
        return self._length

    def put_back(self, at: int) -> None:
        """A position is pending again; it comes before everything of a later rank."""
        rank = self._rank[at]
        self._length += 1
        if rank < self._cursor:
            heappush(self._returned, rank)

    def removed(self) -> None:
        """A pending position was settled without being taken (a late result); it is skipped when it is met."""
        self._length -= 1

    def take(self, count: int, *, avoid: Callable[[int], bool]) -> list[int]:
        """At most `count` positions in order, leaving out those that `avoid` names."""
        taken: list[int] = []
        skipped: list[int] = []
        while len(taken) < count:
            rank = self._next_rank()
            if rank is None:
                break
            at = self._order[rank]
            if not self._is_pending(at) or at in taken:
                continue
            if avoid(at):
                skipped.append(rank)
            else:
                taken.append(at)
        for rank in skipped:
            heappush(self._returned, rank)
        self._length -= len(taken)
        return taken

    def _next_rank(self) -> int | None:
        if self._returned and (self._cursor >= len(self._order) or self._returned[0] < self._cursor):
            return heappop(self._returned)
        if self._cursor >= len(self._order):
            return None
        self._cursor += 1
        return self._cursor - 1
