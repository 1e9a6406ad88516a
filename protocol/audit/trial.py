"""One frame under examination: who has rendered it, who is asked to render it once more, which of the renders agree.

Two renders that differ say that somebody is wrong, a third one says who. Refuses to know how pixels are compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from protocol.audit.comparing import RenderClass
from protocol.ids import AttemptId, PeerId, Ticket
from protocol.jobs.results import FrameResult
from protocol.signals import FrameCommitted, WorkOpened

VOTES: Final = 3
Verdict = Literal["agreed", "undecided", "open"]
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Vote:
    """One render of the frame."""

    peer: PeerId
    kind: RenderClass
    result: FrameResult


@dataclass(slots=True)
class Trial:
    """Invariants: `votes` are by different peers, the first by whose committed frame is examined; `asked` have been asked, each
    once; while `attempt` is set an answer is awaited until `until`, while `ticket` is set bytes or a comparison are."""

    work: WorkOpened
    frame: FrameCommitted
    votes: list[Vote]
    asked: list[PeerId] = field(default_factory=list)
    attempt: AttemptId | None = None
    until: float = 0.0
    ticket: Ticket | None = None
    pair: Pair | None = None  # what `ticket` compares
    found: dict[Pair, bool] = field(default_factory=dict)

    @property
    def accused(self) -> PeerId:
        return self.votes[0].peer

    @property
    def next_pair(self) -> Pair | None:
        """Two renders that are still to be compared."""
        pairs = ((0, 1), (0, 2), (1, 2))
        return next((pair for pair in pairs if pair[1] < len(self.votes) and pair not in self.found), None)

    def verdict(self) -> Verdict | PeerId:
        """What follows from the comparisons so far: whose render is wrong, or that none is, or that nobody can tell.

        `open`: another vote is needed."""
        if self.found.get((0, 1)) is None:
            return "open"
        if self.found[0, 1]:
            return "agreed"
        if len(self.votes) < VOTES:
            return "open"
        with_first, with_second = self.found.get((0, 2)), self.found.get((1, 2))
        if with_first is None or with_second is None or with_first == with_second:
            return "undecided"
        return self.votes[1].peer if with_first else self.votes[0].peer
