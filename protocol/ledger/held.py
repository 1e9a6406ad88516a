"""One job's machinery on this peer: its facts, who has copies, who waits for an answer, what was published last.

Decides nothing: the parts of the ledger share it.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.ids import JobId, PeerId, RequestId
from protocol.ledger.attic import Attic
from protocol.ledger.copies import Copies
from protocol.ledger.fold import JobFold, VersionMap
from protocol.ledger.overview import Activity
from protocol.views import JobView


@dataclass(slots=True)
class Promise:
    """A client waits until `versions` are durable on enough peers. `forget`: the job is not wanted when that fails."""

    request: RequestId
    versions: VersionMap
    with_bytes: bool
    until: float
    created: bool
    forget: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """This peer owns the job and hands nothing out yet: at most `until`, until others hold `versions` (None: have spoken)."""

    until: float
    versions: VersionMap | None


class HeldJob:
    """A job that this peer holds; only an owner uses more than the fold. Invariant: `copies` is about `fold`."""

    __slots__ = (
        "activity", "claim", "copies", "dirty", "fold", "hearsay", "opened", "promises", "published", "published_at", "resumes",
        "rival", "sweep_after", "sweeping", "swept",
    )  # fmt: skip

    def __init__(self, job: JobId, attic: Attic | None = None) -> None:
        self.fold = JobFold(job, attic)
        self.copies = Copies(self.fold)
        self.hearsay = False  # whether who made some of its results may have lost them since, for all that is known here
        self.promises: list[Promise] = []
        self.claim: Claim | None = None
        self.resumes = False  # its workers may have frames in flight that they got from another run or another owner
        self.activity = Activity()
        self.opened = False
        self.published: JobView | None = None
        self.published_at = 0.0
        self.dirty = False
        self.rival: PeerId | None = None  # owns it too, by a greater fence, and is not known to hold our facts
        self.sweeping = self.swept = -1  # at how many retries the destination is being looked through, and was
        self.sweep_after = 0  # it is looked through up to this frame, or is being

    def doubt(self, peer: PeerId) -> None:
        """The peer's run has ended, or it was forgotten: what it holds must be heard again, its own results among it."""
        self.copies.forget(peer)
        self.hearsay = self.hearsay or peer in self.fold.winners.makers()

    @property
    def owner(self) -> PeerId:
        """Who dispatches it."""
        return self.fold.fence.peer

    @property
    def is_quiet(self) -> bool:
        """Whether nothing of the job is handed out yet, though this peer owns it."""
        return self.is_promised or self.claim is not None

    @property
    def is_unsaid(self) -> bool:
        """Whether nothing of it is published either. An owner that listens after its start is in view, as it was before."""
        return self.is_promised or (self.claim is not None and self.claim.versions is not None)

    @property
    def is_promised(self) -> bool:
        """Whether nobody has been told yet that the job is accepted, and perhaps nobody will be."""
        return any(promise.forget for promise in self.promises)

    def acceptance(self) -> VersionMap:
        """The versions that hold a first acceptance of the job: whoever covers them has the job itself."""
        return self.fold.acceptance
