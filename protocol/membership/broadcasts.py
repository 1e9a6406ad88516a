"""News on its way: what is said next, and how often (SWIM, section 4.1; memberlist's transmit-limited queue).

Decides the order (fewest transmits first, then the largest that fits) and what makes older news pointless. Refuses to
know to whom it goes.
"""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass, field

from protocol import limits
from protocol.ids import PeerId
from protocol.wire.codec import encoded_size
from protocol.wire.gossip import News, Suspect

_SMALLEST = 40  # no news is shorter: looking further cannot fill the rest


def retransmit_limit(*, mult: int, live: int) -> int:
    """How often a peer sends one piece of news in a mesh of `live` live members (SWIM, section 4.1)."""
    return mult * math.ceil(math.log10(live + 1))


@dataclass(slots=True, order=True)
class _Entry:
    transmits: int
    largest_first: int  # minus its size in a datagram
    newest_first: int
    news: News = field(compare=False)


class Broadcasts:
    """The queue. Invariants: of one member it holds either one piece of news, or suspicions of one incarnation by
    different accusers; at most `limits.BROADCASTS_MAX` entries, the most transmitted dropped first."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._about: dict[PeerId, list[_Entry]] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, news: News) -> None:
        """Queue `news`; what it makes pointless about the same member leaves the queue."""
        for old in list(self._about.get(news.peer, ())):
            if not _stand_together(old.news, news):
                self._drop(old)
        self._serial += 1
        self._insert(_Entry(0, -encoded_size(news), -self._serial, news))
        if len(self._entries) > limits.BROADCASTS_MAX:
            self._drop(self._entries[-1])

    def take(self, budget: int, *, limit: int, counted: bool = True) -> list[News]:
        """News for one datagram of `budget` bytes, lengths included; each leaves the queue after `limit` transmits.

        Not `counted` is what goes to somebody who probably does not hear it."""
        chosen: list[_Entry] = []
        for entry in self._entries:
            if budget < _SMALLEST:
                break
            if -entry.largest_first <= budget and len(chosen) < limits.DATAGRAM_PARTS_MAX // 2:
                chosen.append(entry)
                budget += entry.largest_first
        for entry in chosen if counted else ():
            self._drop(entry)
            if entry.transmits + 1 < limit:
                self._insert(_Entry(entry.transmits + 1, entry.largest_first, entry.newest_first, entry.news))
        return [entry.news for entry in chosen]

    def about(self, peer: PeerId) -> tuple[News, ...]:
        """What is queued about one member."""
        return tuple(entry.news for entry in self._about.get(peer, ()))

    def _insert(self, entry: _Entry) -> None:
        insort(self._entries, entry)
        self._about.setdefault(entry.news.peer, []).append(entry)

    def _drop(self, entry: _Entry) -> None:
        self._entries.remove(entry)
        left = self._about[entry.news.peer]
        left.remove(entry)
        if not left:
            del self._about[entry.news.peer]


def _stand_together(old: News, new: News) -> bool:
    """Two accusers of one incarnation are both worth hearing: each confirms the other."""
    return (
        isinstance(old, Suspect)
        and isinstance(new, Suspect)
        and (old.run_epoch, old.incarnation) == (new.run_epoch, new.incarnation)
        and old.accuser != new.accuser
    )
