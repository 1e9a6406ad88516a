"""Whom to probe next: a shuffled round robin (SWIM, section 4.3), which bounds the time until anyone is probed.

Decides the order. Refuses to know why somebody is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from protocol.ids import PeerId


class Rotation:
    """Invariants: within one round nobody comes twice, and nobody who was there at its start and stays is left out;
    a joiner enters at a random place."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._order: list[PeerId] = []
        self._known: dict[PeerId, None] = {}
        self._at = 0

    def add(self, peer: PeerId) -> None:
        """Take in a joiner; one that is there already keeps its place."""
        if peer in self._known:
            return
        self._known[peer] = None
        place = self._random.randint(0, len(self._order))
        self._order.insert(place, peer)
        if place < self._at:
            self._at += 1

    def next(self, wanted: Callable[[PeerId], bool]) -> PeerId | None:
        """The next peer for whom `wanted` holds, or None when there is none; the others leave the round."""
        for _ in range(2):
            while self._at < len(self._order):
                peer = self._order[self._at]
                self._at += 1
                if wanted(peer):
                    return peer
            self._begin(wanted)
        return None

    def _begin(self, wanted: Callable[[PeerId], bool]) -> None:
        self._order = [peer for peer in self._order if wanted(peer)]
        self._known = dict.fromkeys(self._order)
        self._random.shuffle(self._order)
        self._at = 0
