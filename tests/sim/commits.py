"""Checkers of facts and of the bytes behind them: each fact is one, each frame is committed once, what is said is held."""

from __future__ import annotations

from collections.abc import Iterable

from protocol.effects import Effect, Notice, SendStream
from protocol.events import Booted, Event
from protocol.ids import AttemptId, AuthorId, Digest, JobId, PeerId
from protocol.jobs.frames import parse_frames
from protocol.ledger.facts import Body, Closed, Fact, FrameEnded, Retried
from protocol.ledger.fold import JobFold
from protocol.wire.work import Facts, FactsHeld, Report, Reported, Versions
from tests.sim.checker import Checker, authored, facts_in, is_damage_unheard, usable
from tests.sim.world import Host, Unsafe, World, runs_known_to

GATE_S = 10.0  # what waits for a stalled disk may be so old when it leaves
ASKED_S = 10.0  # whoever could be talked to for so long was asked for bytes


class FactsAreOne(Checker):
    """Two facts of the same job, author and sequence are the same fact, wherever and whenever they are written."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._bodies: dict[tuple[JobId, AuthorId, int], Body] = {}

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        for fact in facts_in(effects):
            body = self._bodies.setdefault((fact.job, fact.author, fact.seq), fact.body)
            if body is not fact.body and body != fact.body:
                raise Unsafe(f"{host.name} writes another fact {fact.job[:6]} {fact.author}.{fact.seq}: {fact.body}, not {body}")


class CommittedOnce(Checker):
    """An owner commits one result per frame and generation, over all its restarts; with another disk it is another owner."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.seen: dict[tuple[PeerId, int, JobId, int, int], tuple[AuthorId, int]] = {}

    def committed(self, host: Host, batch: list[Effect]) -> None:
        for fact in facts_in(batch):
            if isinstance(fact.body, FrameEnded):
                self._frame(host, fact.body, fact.job, (fact.author, fact.seq))

    def _frame(self, host: Host, ended: FrameEnded, job: JobId, fact: tuple[AuthorId, int]) -> None:
        if ended.result.failure is not None or self.world.authors[fact[0]] != host.peer:
            return
        key = (host.peer, self.world.stores[fact[0]], job, ended.frame, ended.generation)
        if self.seen.setdefault(key, fact) != fact:
            raise Unsafe(f"{host.name} committed frame {ended.frame} of {job[:6]} twice in generation {ended.generation}")


class CommittedBytesAreHeld(Checker):
    """Whoever makes a done frame a fact holds every byte of it, durably."""

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        for fact in authored(host, effects):
            if isinstance(fact.body, FrameEnded):
                self._held(host, fact.body)

    def _held(self, host: Host, ended: FrameEnded) -> None:
        for output in ended.result.outputs:
            if output.digest not in host.disk.blobs:
                raise Unsafe(f"{host.name} commits frame {ended.frame} without the bytes of {output.name}")


class Outcome:
    """What the facts of a job say of its frames, folded here once more: the independent word in the checkers."""

    def __init__(self, fold: JobFold) -> None:
        self.winners: dict[int, FrameEnded] = {}
        self.wanted: dict[int, int] = {}  # generation
        self.failures: dict[int, int] = {}
        bodies = [fact.body for facts in fold.log.values() for fact in facts]
        for body in bodies:
            if isinstance(body, Retried):
                for frame in parse_frames(body.frames):
                    self.wanted[frame] = max(self.wanted.get(frame, 0), body.generation)
        for ended in bodies:
            if isinstance(ended, FrameEnded):
                self._ended(ended)

    def _ended(self, ended: FrameEnded) -> None:
        if ended.result.failure is not None:
            counts = ended.generation >= self.wanted.get(ended.frame, 0)
            self.failures[ended.frame] = self.failures.get(ended.frame, 0) + counts
            return
        held = self.winners.get(ended.frame)
        if held is None or _order(ended) < _order(held):
            self.winners[ended.frame] = ended

    def done(self, frame: int) -> FrameEnded | None:
        """The result that counts, in the generation that is wanted."""
        winner = self.winners.get(frame)
        return winner if winner is not None and winner.generation >= self.wanted.get(frame, 0) else None


class WinnersAreRight(Checker):
    """Of the committed results of a frame the highest generation wins, then the lowest attempt, in whatever order they came."""

    def committed(self, host: Host, batch: list[Effect]) -> None:
        if host.node is None:
            return
        jobs = dict.fromkeys(fact.job for fact in facts_in(batch) if isinstance(fact.body, FrameEnded))
        for job in jobs:
            fold = host.node.ledger.fold(job)
            if fold is not None:
                self._look(host, fold)

    def _look(self, host: Host, fold: JobFold) -> None:
        for frame, winner in Outcome(fold).winners.items():
            held = fold.winners.get(frame)
            if held is None or (held.generation, held.attempt) != (winner.generation, winner.attempt):
                raise Unsafe(f"{host.name}: frame {frame} of {fold.job[:6]} is {held}, not {winner}")


class WinnerChangesAreTold(Checker):
    """Who had a result of a frame, and from now on another one of the same generation, says so, and nobody else does."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._results: dict[tuple[int, int], dict[JobId, dict[int, FrameEnded]]] = {}  # by host and run: the winners of each job

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        if isinstance(event, Booted):
            self._results = {key: held for key, held in self._results.items() if key[0] != host.index}
            self._results[host.index, host.run] = {}
            self._take(host, event.facts)
            return
        told = [effect.fields["frame"] for effect in effects if isinstance(effect, Notice) and effect.event == "winner_changed"]
        changed = self._take(host, facts_in(effects))
        if sorted(told) != sorted(changed):
            raise Unsafe(f"{host.name} says that the winners of the frames {told} have changed, and those of {changed} have")

    def _take(self, host: Host, facts: Iterable[Fact]) -> list[int]:
        """Frames whose winner is another attempt of the same generation than before."""
        jobs = self._results[host.index, host.run]
        before: dict[tuple[JobId, int], FrameEnded | None] = {}
        for fact in facts:
            if isinstance(fact.body, FrameEnded) and fact.body.result.failure is None:
                winners, ended = jobs.setdefault(fact.job, {}), fact.body
                held = winners.get(ended.frame)
                before.setdefault((fact.job, ended.frame), held)
                if held is None or _order(ended) < _order(held):
                    winners[ended.frame] = ended
        return [frame for (job, frame), was in before.items() if was is not None and self._is_another(host, job, was)]

    def _is_another(self, host: Host, job: JobId, was: FrameEnded) -> bool:
        assert host.node is not None
        fold, now = host.node.ledger.fold(job), self._results[host.index, host.run][job][was.frame]
        counts = fold is not None and fold.frames is not None and was.frame in fold.frames
        is_wanted = fold is not None and now.generation >= fold.generation(was.frame)
        return counts and is_wanted and now.generation == was.generation and now.attempt != was.attempt


def _order(ended: FrameEnded) -> tuple[int, AttemptId]:
    return -ended.generation, ended.attempt


class HoldsWhatItSays(Checker):
    """Whoever says that it holds facts, or facts with their bytes, holds them durably at that moment."""

    def leaving(self, host: Host, effect: SendStream) -> None:
        match effect.message:
            case FactsHeld(job, versions, safe):
                self._facts(host, job, versions)
                self._bytes(host, job, safe)
            case Facts(job, versions=versions):
                self._facts(host, job, versions)

    def _facts(self, host: Host, job: JobId, versions: Versions) -> None:
        if host.forgot.get(job) == self.world.at:
            return  # it was so when it was said, and what follows is that the job is forgotten
        held = host.disk.facts.get(job, {})
        for author, seq in versions:
            lacking = [at for at in range(1, seq + 1) if (author, at) not in held]
            if lacking:
                raise Unsafe(f"{host.name} says that it holds {job[:6]} {author}.{seq} and lacks {lacking}")

    def _bytes(self, host: Host, job: JobId, safe: Versions) -> None:
        """Scenes, and results that count: logs, and results that others have beaten or that are wanted anew, may be missing."""
        assert host.node is not None
        fold = host.node.ledger.fold(job)
        if fold is None:
            return
        held, outcome = host.disk.facts.get(job, {}), Outcome(fold)
        for author, seq in safe:
            for at in range(1, seq + 1):
                fact = held.get((author, at))
                if fact is None or (isinstance(fact.body, FrameEnded) and outcome.done(fact.body.frame) != fact.body):
                    continue
                log = fact.body.result.log if isinstance(fact.body, FrameEnded) else None
                missing = [digest for digest, _ in fold.blobs_of(fact) if digest != log and not self._is_here(host, digest)]
                if missing:
                    raise Unsafe(f"{host.name} says that {job[:6]} {author}.{seq} is safe there and lacks {missing[0][:8]}")

    def _is_here(self, host: Host, digest: Digest) -> bool:
        """Or was until a moment ago, when what was to be said waited for the disk already."""
        return digest in host.disk.blobs or self.world.at - host.dropped.get(digest, -GATE_S) < GATE_S


class ThankedIsCommitted(Checker):
    """A worker is thanked for a frame only when the frame is done on the owner's disk, or nobody wants it any more, as of a
    worker that is not trusted."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._reports: dict[tuple[PeerId, AttemptId], Report] = {}

    def leaving(self, host: Host, effect: SendStream) -> None:
        match effect.message:
            case Report(attempt=attempt, result=result) as report if result.failure is None:
                self._reports[host.peer, attempt] = report
            case Reported(job, attempt):
                known = self._reports.get((effect.peer, attempt))
                assert host.node is not None
                if known is not None and known.job == job and host.node.verdicts.against(effect.peer) is None:
                    self._thanked(host, known)

    def _thanked(self, host: Host, report: Report) -> None:
        assert host.node is not None
        fold = host.node.ledger.fold(report.job)
        if fold is None or fold.cancelled or fold.is_closed or fold.frames is None or report.frame not in fold.frames:
            return
        outcome = Outcome(fold)
        if outcome.wanted.get(report.frame, 0) > report.generation:
            return
        kept = [fact.body for fact in host.disk.facts.get(report.job, {}).values()]
        done = [body for body in kept if isinstance(body, FrameEnded) and body.frame == report.frame and not body.result.failure]
        if not any(body.generation >= report.generation for body in done):
            raise Unsafe(f"{host.name} thanks for frame {report.frame} of {report.job[:6]}, which is not done on its disk")


class Closing(Checker):
    """Looks at each job that an owner closes, unless it was cancelled or could not be begun."""

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        for fact in authored(host, effects):
            if isinstance(fact.body, Closed) and fact.body.state != "cancelled" and self.concerns(host, fact.job, fact.body):
                assert host.node is not None
                fold = host.node.ledger.fold(fact.job)
                assert fold is not None
                if fold.frames is not None and (fact.body.state == "completed" or self._was_begun(fold)):
                    self.closed(host, fold, fact.body.state, Outcome(fold))

    def _was_begun(self, fold: JobFold) -> bool:
        seen, spec = fold.inspection, fold.spec
        assert spec is not None
        return seen is not None and seen.error is None and fold.register("on_warning", spec.on_warning) != "fail"

    def concerns(self, host: Host, job: JobId, closed: Closed) -> bool:
        """Whether to look at this closing."""
        return True

    def closed(self, host: Host, fold: JobFold, state: str, outcome: Outcome) -> None:
        """`host` closes the job as completed or failed in this step."""


class ClosedIsComplete(Closing):
    """A job is closed only when each of its frames is done or has used up its attempts, and completed only when all are done."""

    def closed(self, host: Host, fold: JobFold, state: str, outcome: Outcome) -> None:
        assert fold.frames is not None
        assert fold.spec is not None
        for frame in fold.frames:
            if outcome.done(frame) is None and outcome.failures.get(frame, 0) < fold.spec.max_attempts:
                raise Unsafe(f"{host.name} says that {fold.job[:6]} is {state}, and frame {frame} is open")
            if outcome.done(frame) is None and state == "completed":
                raise Unsafe(f"{host.name} says that {fold.job[:6]} is completed, and frame {frame} has failed")


class ClosedIsSafe(Closing):
    """A job is closed only when each finished frame is on two disks, where there are two peers that can hold it.

    An heir that passes on what its job was closed with says nothing new: what was lost since is sought, and the job stays
    closed."""

    def concerns(self, host: Host, job: JobId, closed: Closed) -> bool:
        said = [fact.body for fact in host.disk.facts.get(job, {}).values() if isinstance(fact.body, Closed)]
        return not any((one.state, one.wall_ms) == (closed.state, closed.wall_ms) and one.fence < closed.fence for one in said)

    def closed(self, host: Host, fold: JobFold, state: str, outcome: Outcome) -> None:
        assert fold.frames is not None
        needed = min(2, 1 + len(usable(host)))
        for frame in fold.frames:
            winner = outcome.done(frame)
            for output in winner.result.outputs if winner is not None else ():
                disks = sum(self._holds(host, other, output.digest) for other in self.world.hosts)
                if disks < needed:
                    raise Unsafe(f"{host.name} closes {fold.job[:6]}, and {output.name} is on {disks} of {needed} disks")

    def _holds(self, owner: Host, host: Host, digest: Digest) -> bool:
        lost = digest in host.lost_blobs and host.lost_unknown_to(runs_known_to(owner))
        return lost or digest in host.disk.blobs or is_damage_unheard(self.world, owner, host, digest)


class RenderedAgainOnlyIfLost(Checker):
    """C6: an owner wants a frame again for its bytes only when nobody who could have given them has them, whole."""

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        if any(isinstance(effect, Notice) and effect.event == "frames_lost" for effect in effects):
            for fact in authored(host, effects):
                if isinstance(fact.body, Retried):
                    self._look(host, fact.job, fact.body)

    def _look(self, host: Host, job: JobId, retried: Retried) -> None:
        assert host.node is not None
        fold = host.node.ledger.fold(job)
        assert fold is not None
        for frame in parse_frames(retried.frames):
            winner = fold.winners[frame]
            if winner.generation >= retried.generation:
                continue
            likely = dict.fromkeys([winner.peer, *fold.replicas, *sorted(fold.owners)])
            asked = [other for other in self.world.hosts if other.peer in likely and self._could_give(host, other)]
            for other in asked:
                if all(other.disk.is_whole(output.digest) for output in winner.result.outputs):
                    raise Unsafe(f"{host.name} wants frame {frame} of {job[:6]} again, and {other.name} has it")

    def _could_give(self, host: Host, other: Host) -> bool:
        return other is host or self.world.calm_between(host, other, self.world.at - ASKED_S)
