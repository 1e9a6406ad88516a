"""The witness's side of sampled verification: renders a frame once more for its owner, and says what came out.

A favour: nothing of it is kept, renewed or told twice. What a witness renders stands behind what its slot has begun.
Refuses to know whose frame it was and why it is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from protocol import limits
from protocol.cards import PeerCard
from protocol.effects import Effect, FetchBlobs, Render, Verify
from protocol.events import BlobsEnded, DrainAsked, Event, FrameRendered, FrameVerified, StreamReceived, UndrainAsked
from protocol.ids import PeerId, TaskId, Ticket
from protocol.jobs.manifest import EMPTY
from protocol.jobs.results import Failure, FrameResult
from protocol.jobs.spec import JobSpec, render_settings
from protocol.kernel import Now
from protocol.signals import PeerChanged, Send, Signal
from protocol.wire.work import Audit, Audited, Lease

Output = Effect | Signal


@dataclass(slots=True)
class _Favour:
    owner: PeerId
    lease: Lease


class Witness:
    """Invariant: every audit that is asked for here is answered once, unless this peer goes."""

    def __init__(self, *, me: PeerId, slots: int, run_epoch: int) -> None:
        self._me = me
        self._slots = slots
        self._next = run_epoch << 32
        self._card = PeerCard()
        self._draining = False
        self._fetching: dict[Ticket, _Favour] = {}
        self._rendering: dict[TaskId, _Favour] = {}

    @property
    def under_way(self) -> int:
        """Audits that have not been answered."""
        return len(self._fetching) + len(self._rendering)

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Events: Audit, and what comes back of its steps."""
        match event:
            case StreamReceived(sender, Audit(lease)):
                return self._asked(_Favour(sender, lease))
            case BlobsEnded(ticket, error) if ticket in self._fetching:
                favour = self._fetching.pop(ticket)
                return self._answer(favour, _failed(error)) if error else self._render(favour)
            case FrameRendered(task, result) if task in self._rendering:
                if result.failure is not None:
                    return self._answer(self._rendering.pop(task), result)
                return [Verify(task, self._rendering[task].lease.job, keep=False)]
            case FrameVerified(task, result) if task in self._rendering:
                return self._answer(self._rendering.pop(task), result)
            case PeerChanged(peer=peer, card=card) if peer == self._me and card is not None:
                self._card = card
            case DrainAsked():
                self._draining = True
            case UndrainAsked():
                self._draining = False
        return []

    def on_deadline(self, now: Now) -> list[Output]:
        return []

    def next_deadline(self) -> float | None:
        return None

    def _asked(self, favour: _Favour) -> list[Output]:
        if self._draining or self._card.critical or not self._slots or not self._card.capabilities:
            return self._answer(favour, _failed("the peer takes no work now"))
        if self.under_way >= limits.FAVOURS_MAX:
            return self._answer(favour, _failed("the peer has enough to look at"))
        manifest = favour.lease.manifest
        if manifest == EMPTY:
            return self._render(favour)
        self._next += 1
        ticket = Ticket(f"favour-{self._next}")
        self._fetching[ticket] = favour
        items = tuple(dict.fromkeys((entry.digest, entry.size) for entry in manifest.files))
        holders = tuple(peer for peer in dict.fromkeys((*favour.lease.holders, favour.owner)) if peer != self._me)
        return [FetchBlobs(ticket, items, holders, None)]

    def _render(self, favour: _Favour) -> list[Output]:
        self._next += 1
        task, lease = TaskId(f"w{self._next:x}"), favour.lease
        self._rendering[task] = favour
        spec = JobSpec.model_validate_json(lease.spec)
        return [
            Render(
                task=task, slot=self._next % self._slots, job=lease.job, manifest=lease.manifest,
                settings=render_settings(spec, blender=lease.blender), frame=lease.frames[0],
                frame_timeout_s=spec.frame_timeout_s, label=spec.name or lease.job[:8],
            )
        ]  # fmt: skip

    def _answer(self, favour: _Favour, result: FrameResult) -> list[Output]:
        lease = favour.lease
        return [Send(favour.owner, Audited(lease.job, lease.attempts[0], replace(result, log=None, log_size=0)))]


def _failed(reason: str) -> FrameResult:
    return FrameResult((), Failure("infrastructure", reason[: limits.REASON_CHARS_MAX]), 0.0)
