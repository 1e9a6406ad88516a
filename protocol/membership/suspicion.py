"""How long a suspect has to prove itself: Lifeguard's suspicion timeout, as arithmetic.

Decides the time from confirmations, and when refused connections settle the matter at once. Refuses to know clocks and
members: counts and seconds are handed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from protocol.ids import PeerId

QUESTIONS: Final = 4  # the shortest suspicion is divided so: its holder asks the accused at each division before the end
STREAM_QUESTION: Final = 2  # of these: the one that goes over a stream too


def suspicion_bounds(*, live: int, mult: int, max_mult: int, interval_s: float) -> tuple[float, float]:
    """(shortest, longest) suspicion in seconds, in a mesh of `live` live members (Lifeguard, section IV.B)."""
    shortest = mult * max(1.0, math.log10(max(1, live))) * interval_s
    return shortest, max_mult * shortest


def suspicion_timeout(*, confirmations: int, needed: int, shortest_s: float, longest_s: float) -> float:
    """Seconds from the start of a suspicion to its end; `needed` confirmations bring it down to the shortest.

    Lifeguard, section IV.B. With `needed` 0 nobody could confirm, so it starts at the shortest."""
    if needed < 1:
        return shortest_s
    share = math.log(confirmations + 1) / math.log(needed + 1)
    return max(shortest_s, longest_s - share * (longest_s - shortest_s))


@dataclass(slots=True)
class Suspicion:
    """One member's suspicion in one incarnation. Invariant: each accuser counts once; the first is no confirmation.

    `refusers` were told by the accused's host that nobody listens; `refused_at_s` is when this peer was told so first.
    `asked` counts how often this peer has put the accusation to the accused since.
    """

    started_s: float
    accuser: PeerId
    confirmers: dict[PeerId, None] = field(default_factory=dict)
    refusers: dict[PeerId, None] = field(default_factory=dict)
    refused_at_s: float | None = None
    asked: int = 0

    def confirm(self, accuser: PeerId, *, most: int) -> bool:
        """Count an accusation; whether it is news. At most `most` confirmers are kept."""
        if accuser == self.accuser or accuser in self.confirmers or len(self.confirmers) >= most:
            return False
        self.confirmers[accuser] = None
        return True

    def refuse(self, accuser: PeerId, *, most: int) -> bool:
        """Count a refused connection that `accuser` met; whether it is news. At most `most` + 1 are kept."""
        if accuser in self.refusers or len(self.refusers) > most:
            return False
        self.refusers[accuser] = None
        return True

    def next_question_s(self, shortest_s: float) -> float:
        """When its holder asks the accused next, where `shortest_s` is the shortest suspicion: several times before any ends."""
        return self.started_s + (self.asked + 1) * shortest_s / QUESTIONS

    def settled(self, needed: int) -> bool:
        """Whether refused connections alone prove the death: `needed` peers have confirmed the first one's."""
        return needed > 0 and len(self.refusers) > needed
