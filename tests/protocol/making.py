"""Rows for tests, each with defaults that make sense: peers, jobs, facts, leases, cards."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

from protocol.cards import Check, PeerCard
from protocol.ids import AttemptId, AuthorId, Digest, Fence, JobId, LeaseId, PeerId
from protocol.jobs.frames import parse_frames
from protocol.jobs.identity import canonical
from protocol.jobs.manifest import EMPTY, Manifest, ManifestEntry, make_manifest
from protocol.jobs.results import Capabilities, Failure, FailureClass, FrameResult, Inspection, Output, SceneWarning
from protocol.jobs.spec import JobSpec
from protocol.ledger.facts import Accepted, Body, Fact, FrameEnded, Inspected, Owner, ReplicaSet
from protocol.ledger.fold import JobFold
from protocol.signals import MemberState, PeerChanged, Send, WorkOpened
from protocol.views import Counts, JobState, JobView
from protocol.wire.work import Lease, Report, Steal
from tests.playbook import Playbook

T = TypeVar("T")


def sent(book: Playbook, kind: type[T], to: PeerId | None = None) -> list[T]:
    """Messages of one kind that came out for `to` (None: for anybody), taken out of the book."""
    sends = [one for one in book.out if isinstance(one, Send) and isinstance(one.message, kind) and to in (None, one.peer)]
    book.out = [one for one in book.out if one not in sends]
    return [one.message for one in sends if isinstance(one.message, kind)]


def digest(text: str) -> Digest:
    return Digest(hashlib.sha256(text.encode()).hexdigest())


def peer(text: str) -> PeerId:
    """A peer's id whose order is that of the texts."""
    return PeerId((text.encode().hex() + "0" * 64)[:64])


ME, ANNA, BEN, CARL = peer("me"), peer("anna"), peer("ben"), peer("carl")
JOB = JobId("ab" * 16)
AUTHOR = AuthorId("0123456789abcdef")
NULL = Capabilities("null", "1.0.0", "", "null")
BLENDER = Capabilities("blender", "5.0.1", "", "program", ("CYCLES",))
SCENE = make_manifest("scene.blend", [ManifestEntry("scene.blend", digest("scene"), 1000)])
WOOD = SceneWarning("missing_file", "picture", "wood.png is missing", "send it")


def fence(owner: PeerId = ME, epoch: int = 1) -> Fence:
    return Fence(epoch, owner)


def attempt(counter: int, owner: PeerId = ME, epoch: int = 1) -> AttemptId:
    return AttemptId(epoch, owner, counter)


def spec(**fields: Any) -> JobSpec:
    return JobSpec(**{"renderer": "null", "frames": "1-4", **fields})


def output(frame: int, by: PeerId = ME) -> Output:
    return Output("main", f"{frame:04d}.png", digest(f"{frame} by {by}"), digest(f"pixels {frame}"), 100, 64, 64, 3, "PNG")


def done(frame: int, by: PeerId = ME, *, seconds: float = 1.0) -> FrameResult:
    return FrameResult((output(frame, by),), None, seconds)


def failed(kind: FailureClass = "crash") -> FrameResult:
    return FrameResult((), Failure(kind, f"it was {kind}"), 1.0)


def ended(frame: int, counter: int, *, result: FrameResult | None = None, by: PeerId = ME, generation: int = 0) -> FrameEnded:
    return FrameEnded(frame, generation, attempt(counter), by, done(frame, by) if result is None else result, 1000)


def accepted(wanted: JobSpec | None = None, manifest: Manifest = EMPTY, *, key: str = "key") -> Accepted:
    return Accepted(canonical(wanted or spec()), manifest, "client", key, 1000)


def inspected(seen: Inspection | None = None) -> Inspected:
    return Inspected(attempt(1), ME, seen or Inspection(), 1000)


def facts(*bodies: Body, author: AuthorId = AUTHOR, first: int = 1, job: JobId = JOB) -> list[Fact]:
    return [Fact(job, author, first + at, body) for at, body in enumerate(bodies)]


def begun(wanted: JobSpec | None = None, manifest: Manifest = EMPTY, owner: PeerId = ME) -> list[Body]:
    """The first facts of a job that is being rendered."""
    holds = fence(owner)
    return [accepted(wanted, manifest), Owner(holds), ReplicaSet(holds, 1, (owner,)), inspected()]


def folded(*bodies: Body) -> JobFold:
    fold = JobFold(JOB)
    for fact in facts(*bodies):
        assert fold.add(fact)
    return fold


def card(**fields: Any) -> PeerCard:
    return PeerCard(**{"name": "peer", "slots_total": 1, "slots_free": 1, "capabilities": (NULL, BLENDER), **fields})


CRITICAL = Check("disk", "critical", "full")


def changed(
    who: PeerId, state: MemberState = "alive", *, run_epoch: int = 1, host: str | None = None, with_card: PeerCard | None = None
) -> PeerChanged:
    return PeerChanged(who, state, run_epoch, host or f"host of {who[:8]}", card() if with_card is None else with_card)


def work(frames: str | None = "1-4", wanted: JobSpec | None = None, **fields: Any) -> WorkOpened:
    numbers = None if frames is None else parse_frames(frames)
    asked = wanted or spec(frames=frames)
    defaults: dict[str, Any] = {
        "job": JOB, "fence": fence(), "spec": asked, "spec_json": canonical(asked), "manifest": EMPTY, "holders": (ME,),
        "priority": 50, "submitter": "client", "submitted_ms": 1000, "only_on": None, "blender": "", "open_": True,
        "frames": numbers, "steps": b"" if numbers is None else bytes(len(numbers)), "failures": (), "generations": (),
    }  # fmt: skip
    return WorkOpened(**{**defaults, **fields})


def steal(ask: int = 1, slots: int = 1, capabilities: tuple[Capabilities, ...] = (NULL, BLENDER)) -> Steal:
    return Steal(ask, slots, capabilities, (), (), ())


def lease(
    *frames: int, name: str = "1", owner: PeerId = ANNA, manifest: Manifest = EMPTY, inspect: bool = False, job: JobId = JOB
) -> Lease:
    attempts = tuple(attempt(frame, owner) for frame in frames) or (attempt(1, owner),)
    return Lease(
        LeaseId(name.rjust(16, "0")), job, fence(owner), inspect, frames, (0,) * len(frames), attempts, 20.0,
        canonical(spec()), manifest, (owner,), "", "",
    )  # fmt: skip


def report(given: Lease, frame: int, result: FrameResult) -> Report:
    at = given.frames.index(frame)
    return Report(given.lease, given.job, frame, given.generations[at], given.attempts[at], result)


def job_view(job: JobId = JOB, *, owner: PeerId = ANNA, state: JobState = "running", pending: int = 1, **fields: Any) -> JobView:
    defaults: dict[str, Any] = {
        "id": job, "name": "job", "state": state, "priority": 50, "owner": owner, "epoch": 1, "replicas": (owner,),
        "frames": Counts(total=4, pending=pending), "progress": 0.0, "eta_s": None, "waiting_because": (), "held_because": (),
        "error": None, "renderer": "null", "engine": "", "blender": "", "frame_ranges": "1-4", "labels": (),
        "submitter": "client", "submitted_ms": 1000, "started_ms": None, "finished_ms": None, "copies": 2,
    }  # fmt: skip
    return JobView(**{**defaults, **fields})
