"""What became of each frame of a job: the result that counts, the generation that is wanted, whether it lies in its place.

A done frame costs some five bytes: the place of its fact in the log, and one byte of what follows from it. Where a frame has
more than one result, the facts themselves are read to compare them. Order never matters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from protocol.ids import AttemptId, PeerId
from protocol.jobs.frames import Frames
from protocol.ledger.columns import Chains, Column
from protocol.ledger.facts import FrameEnded

Place = tuple[int, int]  # of a fact: its author's number in this log, from 0, and its sequence

DONE: Final = 1  # the wanted generation has a committed result
IN_PLACE: Final = 2  # and that lies in the destination


class Outcomes(Mapping[int, FrameEnded]):
    """As a mapping: the winner of each frame that has one, by frame, sorted. Reading one may read a packed fact.

    Invariants: a winner's generation never falls, and among equal generations only a lower attempt replaces it."""

    def __init__(self, read: Callable[[Place], FrameEnded]) -> None:
        """`read` gives the fact at a place."""
        self._read = read
        self._frames: Frames | None = None
        self._seq = Column("I")  # the winner's place; 0: there is none
        self._author = Column("I")
        self._won = Column("I")  # the winner's generation
        self._wanted = Column("I")
        self._carried = Column("I")  # the highest generation that was delivered, plus 1
        self._state = Column("B")
        self._beaten = Chains()  # places of done attempts that did not win
        self._makers: Counter[PeerId] = Counter()
        self._count = 0
        self.done = 0
        self.delivered = 0
        self.started_ms: int | None = None  # when the first attempt began that was ever done, wall milliseconds

    # the winners

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return iter(self._seq)

    def __getitem__(self, frame: int) -> FrameEnded:
        seq = self._seq[frame]
        if not seq:
            raise KeyError(frame)
        return self._read((self._author[frame], seq))

    def makers(self) -> Iterable[PeerId]:
        """Everybody who has made a winner, in no particular order."""
        return self._makers.keys()

    # what changes them

    def ended(self, ended: FrameEnded, place: Place) -> None:
        """An attempt is done; its fact is at `place`."""
        frame = ended.frame
        began_ms = max(ended.wall_ms - int(1000 * ended.result.seconds), 0)
        self.started_ms = began_ms if self.started_ms is None else min(self.started_ms, began_ms)
        held_at = (self._author[frame], self._seq[frame])
        if not held_at[1]:
            self._count += 1
        else:
            held = self._read(held_at)
            if winner_order(ended) >= winner_order(held):
                self._beaten.add(frame, place)
                return
            self._beaten.add(frame, held_at)
            self._makers[held.peer] -= 1
            if not self._makers[held.peer]:
                del self._makers[held.peer]
        self._makers[ended.peer] += 1
        self._author[frame], self._seq[frame] = place
        self._won[frame] = ended.generation
        self._settle(frame)

    def want(self, frame: int, generation: int) -> None:
        """A frame is wanted in this generation, unless it is in a higher one already."""
        if generation > self._wanted[frame]:
            self._wanted[frame] = generation
            self._settle(frame)

    def carried(self, frame: int, generation: int) -> None:
        """A frame of this generation was put into the destination."""
        if generation >= self._carried[frame]:
            self._carried[frame] = generation + 1
            self._settle(frame)

    def fix(self, frames: Frames) -> None:
        """These are the job's frames; others never count."""
        if frames != self._frames:
            self._frames = frames
            for frame in self._seq:
                self._settle(frame)

    def _settle(self, frame: int) -> None:
        """Keep state and counts true for one frame."""
        was, is_now = self._state[frame], 0
        counts = self._frames is None or self._frames.index(frame) is not None
        if counts and self._seq[frame] and self._won[frame] >= self._wanted[frame]:
            is_now = DONE | (IN_PLACE if self._carried[frame] > self._won[frame] else 0)
        self._state[frame] = is_now
        self.done += (is_now & DONE) - (was & DONE)
        self.delivered += ((is_now & IN_PLACE) - (was & IN_PLACE)) // IN_PLACE

    # questions

    def is_done(self, frame: int) -> bool:
        """Whether the wanted generation has a committed result."""
        return bool(self._state[frame] & DONE)

    def is_in_place(self, frame: int) -> bool:
        """Whether a done frame's winner lies in the destination."""
        return bool(self._state[frame] & IN_PLACE)

    def all_done(self) -> Iterator[int]:
        """Every done frame, sorted."""
        return iter(self._state)

    def done_after(self, frame: int) -> Iterator[int]:
        """Every done frame above this one, sorted."""
        return self._state.after(frame)

    def to_deliver(self) -> Iterator[int]:
        """Every done frame that does not lie in the destination, sorted."""
        return self._state.having(DONE)

    def generation(self, frame: int) -> int:
        """The generation that is wanted of a frame: 0 until it is retried. Who has a result of a higher one has not heard yet
        that it was wanted."""
        return max(self._wanted[frame], self._won[frame])

    def regenerated(self) -> Iterator[int]:
        """Frames whose generation is higher than 0, sorted."""
        return iter(sorted({*self._wanted, *self._won}))

    def has_rivals(self, frame: int) -> bool:
        """Whether more than one result of this frame was ever committed."""
        return frame in self._beaten

    def beaten(self, frame: int) -> list[FrameEnded]:
        """Done attempts of a frame that did not win, in the order in which they lost."""
        return [self._read(place) for place in self._beaten.of(frame)]


def winner_order(body: FrameEnded) -> tuple[int, AttemptId, PeerId, int]:
    """The least one wins. A total order: what decides may be equal (one attempt told to two owners), the rest is not."""
    return -body.generation, body.attempt, body.peer, body.wall_ms
