"""One job's facts, folded: who owns it, what was asked, which frames are done. A join-semilattice: order never matters.

Refuses to know leases, peers' health and time. `add` takes facts in any order between authors and in sequence within one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from protocol import limits
from protocol.ids import AttemptId, AuthorId, Digest, Fence, JobId, PeerId
from protocol.jobs.destination import Destination, parse_destination
from protocol.jobs.frames import Frames, format_frames, parse_frames
from protocol.jobs.results import Inspection
from protocol.jobs.spec import JobSpec, RenderSettings, render_settings
from protocol.ledger.attic import Attic, MemoryAttic
from protocol.ledger.factlog import FactLog
from protocol.ledger.facts import (
    Accepted,
    Body,
    Closed,
    Control,
    Delivered,
    Fact,
    FrameEnded,
    Inspected,
    Owner,
    Register,
    ReplicaSet,
    Retried,
)
from protocol.ledger.outcomes import Outcomes, Place

NOBODY: Final = Fence(0, PeerId(""))
VersionMap = dict[AuthorId, int]


class JobFold:
    """Everything that the facts of one job say.

    Invariants: per author the held facts are 1..versions[author] without a gap; a cancelled job stays cancelled. What became
    of single frames is in `winners`.
    """

    def __init__(self, job: JobId, attic: Attic | None = None) -> None:
        """`attic` takes facts that are not new any more."""
        self.job = job
        self.log: dict[AuthorId, FactLog] = {}
        self.acceptance: VersionMap = {}  # whoever covers it has the first acceptance that was heard of, and so the job itself
        self.accepted: Accepted | None = None
        self.spec: JobSpec | None = None
        self.fence = NOBODY
        self.owners: dict[PeerId, None] = {}  # everybody who has ever owned it
        self.replica_set: ReplicaSet | None = None
        self.inspected: Inspected | None = None
        self.winners = Outcomes(self._read)
        self.failures: dict[int, list[FrameEnded]] = {}
        self.retries: list[Retried] = []
        self.highest = 0  # the highest generation that any frame was asked for in, as far as it is known
        self.registers: dict[Register, Control] = {}
        self.closed: Closed | None = None
        self.frames: Frames | None = None
        self.ranges = ""  # the frames as text for people, cut when there are very many
        self.conflicts: dict[int, tuple[str, ...]] = {}
        self.carriers: set[PeerId] = set()  # who has put frames into the destination, and may have their bytes still; sort it
        self.changes = 0
        self._attic = MemoryAttic() if attic is None else attic
        self._authors: list[AuthorId] = []  # in the order in which they were heard of
        self._numbers: dict[AuthorId, int] = {}  # and where in it each is

    # facts in and out

    @property
    def versions(self) -> VersionMap:
        """Highest gap-free sequence per author, authors sorted."""
        return {author: len(self.log[author]) for author in sorted(self.log)}

    def add(self, fact: Fact) -> bool:
        """Take one fact; False when it is known already or leaves a gap (then it must be asked for again)."""
        held = self.log.get(fact.author)
        if fact.seq != (1 if held is None else len(held) + 1):
            return False
        if held is None:
            held = self.log[fact.author] = FactLog(self.job, fact.author, self._attic)
            self._numbers[fact.author] = len(self._authors)
            self._authors.append(fact.author)
        held.append(fact)
        self.changes += 1
        if isinstance(fact.body, Accepted) and not self.acceptance:
            self.acceptance = {fact.author: fact.seq}
        self._fold(fact.body, (self._numbers[fact.author], fact.seq))
        return True

    def merge(self, facts: Iterable[Fact]) -> tuple[list[Fact], dict[int, tuple[FrameEnded, FrameEnded]]]:
        """Take what others know of this job. Those facts that were news, in order; and, by frame, the result that it had and the
        one that it has now, where that is another attempt of the same generation: two owners have committed the frame."""
        taken: list[Fact] = []
        before: dict[int, FrameEnded | None] = {}
        for fact in facts:
            if fact.job != self.job:
                continue
            ended = fact.body if isinstance(fact.body, FrameEnded) and fact.body.result.failure is None else None
            had = None if ended is None else self.winners.get(ended.frame)
            if not self.add(fact):
                continue
            taken.append(fact)
            if ended is not None:
                before.setdefault(ended.frame, had)
        return taken, self._replaced(before)

    def _replaced(self, before: Mapping[int, FrameEnded | None]) -> dict[int, tuple[FrameEnded, FrameEnded]]:
        pairs: dict[int, tuple[FrameEnded, FrameEnded]] = {}
        for frame, was in before.items():
            if was is None or self.frames is None or frame not in self.frames or not self.is_done(frame):
                continue
            now = self.winners[frame]
            if now.generation == was.generation and now.attempt != was.attempt:
                pairs[frame] = (was, now)
        return pairs

    def release(self) -> None:
        """The job is not held here any more: let go what lies in the attic."""
        for log in self.log.values():
            log.release()

    def _read(self, place: Place) -> FrameEnded:
        body = self.log[self._authors[place[0]]][place[1] - 1].body
        assert isinstance(body, FrameEnded)
        return body

    def since(self, versions: VersionMap, limit: int) -> list[Fact]:
        """Facts that a holder of `versions` lacks, in an order that `add` accepts: at least one, at most `limit`.

        A fact with many outputs or files weighs as much as several, so that what is sent stays within a message.
        """
        missing: list[Fact] = []
        weight = 0
        for author in sorted(self.log):
            start = versions.get(author, 0)
            for fact in self.log[author][start : start + limit]:
                weight += _weight(fact.body)
                if missing and weight > limit:
                    return missing
                missing.append(fact)
        return missing

    def covered_by(self, versions: VersionMap) -> bool:
        """Whether a holder of `versions` has every fact that is held here."""
        return all(versions.get(author, 0) >= len(held) for author, held in self.log.items())

    def _fold(self, body: Body, place: Place) -> None:
        match body:
            case Accepted():
                if self.accepted is not None and _accepted_order(self.accepted) <= _accepted_order(body):
                    return  # two peers have accepted the same submission
                self.accepted = body
                self.spec = JobSpec.model_validate_json(body.spec)
                self._fix_frames()
            case Owner():
                self.fence = max(self.fence, body.fence)
                self.owners[body.fence.peer] = None
            case ReplicaSet():
                if self.replica_set is None or _replica_order(body) > _replica_order(self.replica_set):
                    self.replica_set = body
            case Inspected():
                if self.inspected is None or _inspected_order(body) < _inspected_order(self.inspected):
                    self.inspected = body
                    self._fix_frames()
            case FrameEnded():
                if body.result.failure is None:
                    self.winners.ended(body, place)
                    self.highest = max(self.highest, body.generation)
                else:
                    self.failures.setdefault(body.frame, []).append(body)
            case Control():
                held = self.registers.get(body.register)
                if held is None or _control_order(body) > _control_order(held):
                    self.registers[body.register] = body
            case Retried():
                self._fold_retried(body)
            case Closed():
                if self.closed is None or _closed_order(body) > _closed_order(self.closed):
                    self.closed = body
            case Delivered():
                self._fold_delivered(body)

    def _fold_retried(self, retried: Retried) -> None:
        self.retries.append(retried)
        self.highest = max(self.highest, retried.generation)
        for frame in parse_frames(retried.frames):
            self.winners.want(frame, retried.generation)

    def _fold_delivered(self, body: Delivered) -> None:
        self.carriers.add(body.peer)
        for frame in parse_frames(body.frames):
            self.winners.carried(frame, body.generation)
        for frame, name in body.conflicts:
            self.conflicts[frame] = tuple(sorted({*self.conflicts.get(frame, ()), name}))

    def _fix_frames(self) -> None:
        """Frames follow from the specification, or from the scene once it has been looked at."""
        if self.spec is None or self.inspected is None or self.inspected.inspection.error is not None:
            return
        seen = self.inspected.inspection
        scene_range = range(seen.frame_start, seen.frame_end + 1, seen.frame_step)
        self.frames = Frames(scene_range) if self.spec.frames is None else parse_frames(self.spec.frames)
        self.ranges = _ranges(self.frames)
        self.winners.fix(self.frames)

    # questions

    @property
    def done(self) -> int:
        """How many frames are done."""
        return self.winners.done

    @property
    def delivered(self) -> int:
        """Of those that are done, how many lie in the destination, in the generation that won."""
        return self.winners.delivered

    @property
    def settings(self) -> RenderSettings:
        """The pixel-deciding part of the specification; only once the job is accepted."""
        assert self.spec is not None
        return render_settings(self.spec)

    @property
    def destination(self) -> Destination | None:
        """Where frames are to be delivered; None: they stay in the mesh's own stores."""
        return None if self.spec is None or self.spec.destination is None else parse_destination(self.spec.destination)

    def is_delivered(self, frame: int) -> bool:
        """Whether a done frame's winner lies in the destination."""
        return self.winners.is_in_place(frame)

    def replaced_by(self, winner: FrameEnded) -> tuple[str, ...]:
        """Pixel hashes of the frame's recorded lower generations, sorted: what a delivery of `winner` may replace."""
        older = [one for one in self.winners.beaten(winner.frame) if one.generation < winner.generation]
        return tuple(sorted({output.pixel_hash for one in older for output in one.result.outputs}))[: limits.REPLACED_HASHES_MAX]

    def has_rivals(self, frame: int) -> bool:
        """Whether more than one result of this frame was ever committed."""
        return self.winners.has_rivals(frame)

    @property
    def inspection(self) -> Inspection | None:
        """What the scene is, once somebody has looked."""
        return None if self.inspected is None else self.inspected.inspection

    def generation(self, frame: int) -> int:
        """The generation that is wanted of a frame: 0 until it is retried."""
        return self.winners.generation(frame)

    def current_failures(self, frame: int) -> list[FrameEnded]:
        """Failed attempts that count against this frame now."""
        wanted = self.generation(frame)
        return [ended for ended in self.failures.get(frame, ()) if ended.generation >= wanted]

    def is_done(self, frame: int) -> bool:
        """Whether the wanted generation has a committed result."""
        return self.winners.is_done(frame)

    def is_failed(self, frame: int) -> bool:
        """Whether the frame has used up its attempts without a result."""
        assert self.spec is not None
        return not self.is_done(frame) and len(self.current_failures(frame)) >= self.spec.max_attempts

    def failed_frames(self) -> list[int]:
        """Frames that have used up their attempts, sorted."""
        return [frame for frame in sorted(self.failures) if self.is_failed(frame)]

    def register(self, name: Register, default: str) -> str:
        """A control register's value."""
        held = self.registers.get(name)
        return default if held is None else held.value

    @property
    def cancelled(self) -> bool:
        return self.register("cancelled", "") == "1"

    @property
    def paused(self) -> bool:
        return self.register("paused", "") == "1"

    @property
    def priority(self) -> int:
        assert self.spec is not None
        return int(self.register("priority", str(self.spec.priority)))

    @property
    def is_closed(self) -> bool:
        """Whether the owner's last word on the job still holds: nothing was retried since, and it is the owner of now who said
        it. What a lesser owner concluded from fewer facts does not bind the greater one, which concludes anew."""
        return self.closed is not None and self.closed.fence >= self.fence and self.closed.retries >= len(self.retries)

    @property
    def replicas(self) -> tuple[PeerId, ...]:
        return () if self.replica_set is None else self.replica_set.peers

    def blobs_of(self, fact: Fact) -> Iterator[tuple[Digest, int]]:
        """Blobs (digest, size) that must be held to hold this fact safely; outputs and log."""
        match fact.body:
            case Accepted(manifest=manifest):
                for entry in manifest.files:
                    yield entry.digest, entry.size
            case FrameEnded(result=result):
                for output in result.outputs:
                    yield output.digest, output.size
                if result.log is not None:
                    yield result.log, result.log_size
            case _:
                return


def _ranges(frames: Frames) -> str:
    if len(frames) > limits.FRAMES_SPELLED_OUT_MAX:
        return f"{frames[0]}-{frames[len(frames) - 1]}"
    text = format_frames(frames)
    return text if len(text) <= limits.SUMMARY_RANGES_CHARS_MAX else text[: limits.SUMMARY_RANGES_CHARS_MAX - 3] + "..."


def _weight(body: Body) -> int:
    match body:
        case FrameEnded(result=result):
            return 1 + len(result.outputs)
        case Accepted(manifest=manifest):
            return 1 + len(manifest.files) // 8
        case _:
            return 1


# Total orders: where what decides is equal (one attempt told to two owners), something else of the fact decides, so that
# the order in which facts arrive never does.


def _accepted_order(body: Accepted) -> tuple[str, int]:
    return body.only_on or "", body.wall_ms


def _inspected_order(body: Inspected) -> tuple[bool, AttemptId, PeerId, int]:
    """Who could open the scene outranks who could not."""
    return body.inspection.error is not None, body.attempt, body.peer, body.wall_ms


def _replica_order(body: ReplicaSet) -> tuple[Fence, int, tuple[PeerId, ...]]:
    return body.fence, body.version, body.peers


def _control_order(body: Control) -> tuple[int, int, PeerId, str]:
    return body.fence.epoch, body.counter, body.fence.peer, body.value


def _closed_order(body: Closed) -> tuple[Fence, int, str, int]:
    return body.fence, body.retries, body.state, body.wall_ms
