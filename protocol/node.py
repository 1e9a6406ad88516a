"""The node: builds the machines, routes events to them, hands their signals round. Routing only; it decides nothing.

Order matters and is kept: outputs are absorbed depth first, so that what a machine said after a signal is performed
after everything that the signal has led to (a fact is persisted before its acknowledgement leaves).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from protocol import limits
from protocol.access.access import Access
from protocol.audit.auditor import Auditor
from protocol.audit.verdicts import Verdicts
from protocol.audit.witness import Witness
from protocol.cards import PeerCard
from protocol.catalog.board import Board
from protocol.catalog.catalog import Catalog
from protocol.catalog.roster import Roster
from protocol.delivery.delivery import Delivery
from protocol.effects import Effect, SendDatagram, SendStream
from protocol.events import DatagramReceived, Event, StreamFailed, StreamReceived
from protocol.health.directory import Directory
from protocol.health.health import Health
from protocol.ids import Address, AuthorId, JobId, PeerId
from protocol.jobs.manifest import Manifest
from protocol.jobs.results import Inspection
from protocol.jobs.spec import JobSpec
from protocol.kernel import Machine, Now
from protocol.keyring.keyring import Keyring
from protocol.keyring.state import RingState
from protocol.ledger.attic import Attic
from protocol.ledger.healing import Healing
from protocol.ledger.inquiry import Inquiries
from protocol.ledger.ledger import Ledger
from protocol.ledger.overview import frame_files, frame_state, frame_view
from protocol.membership.options import SwimOptions
from protocol.membership.swim import Swim
from protocol.scheduling.dispatcher import Dispatcher
from protocol.scheduling.thief import Thief
from protocol.signals import Send, Signal
from protocol.views import FINAL_STATES, FrameFiles, FrameView, JobView, PeerView, Reason
from protocol.wire.gossip import DigestMessage

Output = Effect | Signal


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What the shell decides about a node. `seed` feeds choices only; `nonce` and `token` come from real entropy."""

    me: PeerId
    author: AuthorId
    run_epoch: int
    address: Address
    mesh_port: int
    nonce: bytes
    token: Callable[[], int]
    seed: int
    card: PeerCard
    swim: SwimOptions
    replicas: int = limits.REPLICAS_DEFAULT
    ring: RingState | None = None
    audit_share: float = 0.0  # of the committed frames, how many are rendered once more to compare


class Node:
    """One peer's whole mind. Invariant: `handle` ends, since the depth of signals is bounded."""

    def __init__(self, options: NodeOptions, attic: Attic | None = None) -> None:
        """`attic` takes what a machine seldom looks at again; without one all stays in memory."""
        o = options
        dice = Random(o.seed)
        self.me = o.me
        self.author = o.author
        self.swim = Swim(
            me=o.me, address=o.address, mesh_port=o.mesh_port, run_epoch=o.run_epoch, nonce=o.nonce, meta=b"",
            options=o.swim, random=Random(dice.getrandbits(64)), token=o.token,
        )  # fmt: skip
        self.catalog = Catalog(me=o.me, run_epoch=o.run_epoch, random=Random(dice.getrandbits(64)))
        self.roster = Roster(me=o.me, run_epoch=o.run_epoch, address=o.address, mesh_port=o.mesh_port, card=o.card)
        self.board = Board(me=o.me, random=Random(dice.getrandbits(64)))
        self.health = Health(random=Random(o.seed ^ 0x4EA17))  # not from `dice`: seeds that were pinned before keep their meaning
        self.directory = Directory(me=o.me, run_epoch=o.run_epoch)
        self.ledger = Ledger(
            me=o.me, author=o.author, run_epoch=o.run_epoch, host=o.address.host, replicas=o.replicas,
            random=Random(dice.getrandbits(64)), attic=attic,
        )  # fmt: skip
        self.inquiries = Inquiries(me=o.me, ledger=self.ledger)
        self.dispatcher = Dispatcher(me=o.me, run_epoch=o.run_epoch, random=Random(dice.getrandbits(64)))
        self.thief = Thief(
            me=o.me, slots=o.card.slots_total, labels=o.card.labels, run_epoch=o.run_epoch, random=Random(dice.getrandbits(64))
        )
        self.access = Access(me=o.me, random=Random(dice.getrandbits(64)))
        self.keyring = Keyring(me=o.me, state=o.ring, random=Random(o.seed ^ 0x4E195))
        self.healing = Healing(me=o.me, folds=self.ledger.folds)
        self.delivery = Delivery(me=o.me, run_epoch=o.run_epoch, roots=o.card.roots)
        self.verdicts = Verdicts(me=o.me)
        self.auditor = Auditor(me=o.me, run_epoch=o.run_epoch, share=o.audit_share, random=Random(o.seed ^ 0xA0D17))
        self.witness = Witness(me=o.me, slots=o.card.slots_total, run_epoch=o.run_epoch)
        self._machines: Sequence[Machine[Event | Signal, Output]] = (
            self.swim, self.catalog, self.roster, self.board, self.inquiries, self.ledger, self.dispatcher, self.thief,
            self.access, self.health, self.directory, self.keyring, self.delivery, self.healing, self.verdicts, self.auditor,
            self.witness,
        )  # fmt: skip

    # the machine

    def start(self, event: Event, now: Now) -> list[Effect]:
        """Take `Booted`, the first event: say who we are, then remember."""
        effects: list[Effect] = []
        self._absorb(self.roster.start(), now, effects, 0)
        return [*effects, *self.handle(event, now)]

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """One event to every machine; effects in the order in which they must be performed."""
        effects: list[Effect] = []
        self._tell(event, now, effects, 0)
        if isinstance(event, DatagramReceived) and event.trusted:
            for message in event.messages:
                if isinstance(message, DigestMessage):
                    self._tell(StreamReceived(event.sender, message), now, effects, 0)
        return effects

    def on_deadline(self, now: Now) -> list[Effect]:
        """Whatever has become due anywhere."""
        effects: list[Effect] = []
        for machine in self._machines:
            deadline = machine.next_deadline()
            if deadline is not None and deadline <= now.monotonic_s:
                self._absorb(machine.on_deadline(now), now, effects, 0)
        return effects

    def next_deadline(self) -> float | None:
        """The earliest of all machines' deadlines."""
        return min((at for machine in self._machines if (at := machine.next_deadline()) is not None), default=None)

    def _tell(self, event: Event | Signal, now: Now, effects: list[Effect], depth: int) -> None:
        assert depth <= limits.SIGNAL_ROUNDS_MAX, f"signals go round and round: {event!r:.500}"
        for machine in self._machines:
            self._absorb(machine.handle(event, now), now, effects, depth)

    def _absorb(self, outputs: Sequence[Output], now: Now, effects: list[Effect], depth: int) -> None:
        for output in outputs:
            if isinstance(output, Send):
                self._send(output, now, effects, depth)
            elif isinstance(output, Signal):
                self._tell(output, now, effects, depth + 1)
            else:
                effects.append(output)

    def _send(self, send: Send, now: Now, effects: list[Effect], depth: int) -> None:
        if send.peer == self.me:
            self._tell(StreamReceived(self.me, send.message), now, effects, depth + 1)
            return
        address = self.roster.stream_address(send.peer)
        if address is None:
            self._tell(StreamFailed(send.peer, send.message, refused=False), now, effects, depth + 1)
            return
        gossip = self.swim.datagram_address(send.peer) if send.light else None
        if gossip is not None and isinstance(send.message, DigestMessage):
            effects.append(SendDatagram(gossip, send.peer, (send.message,)))
        else:
            effects.append(SendStream(send.peer, address, send.message))

    # views: read-only copies for the shell

    def jobs(self) -> list[JobView]:
        """Every job that was heard of, newest first; this peer's own as of now."""
        views = self.board.views()
        newest = (self.ledger.view(view.id) or view if self.ledger.owns(view.id) else view for view in views)
        return [self.inquiries.marked(view) for view in newest]

    def job(self, job: JobId) -> JobView | None:
        """One job by its id."""
        view = self.ledger.view(job) if self.ledger.owns(job) else self.board.view(job) or self.ledger.view(job)
        return None if view is None else self.inquiries.marked(view)

    def where(self, job: JobId) -> list[PeerId]:
        """Live peers that hold a job's detail, best first.

        This one is among them while it is a recorded holder: who was one once is brought nothing new any more. Where no
        other is left its old detail is better than none."""
        fold, view, live = self.ledger.fold(job), self.board.view(job), self.roster.live()
        if self.ledger.owns(job):
            return [self.me]
        if view is not None and (fold is None or view.epoch >= fold.fence.epoch):
            recorded = [view.owner, *view.replicas]
        else:
            recorded = [] if fold is None else [fold.fence.peer, *fold.replicas]
        nearest = [self.me] if fold is not None and self.me in recorded else []
        ranked = [*recorded[:1], *nearest, *recorded[1:]]
        found = [peer for peer in dict.fromkeys(ranked) if peer in live and (peer != self.me or fold is not None)]
        return found or ([self.me] if fold is not None else [])

    def frames(self, job: JobId, *, state: str | None, after: int | None, limit: int) -> list[FrameView]:
        """A page of a held job's frames in order."""
        fold = self.ledger.fold(job)
        if fold is None or fold.frames is None:
            return []
        rows: list[FrameView] = []
        for frame in fold.frames:
            if after is not None and frame <= after:
                continue
            peer = self.dispatcher.runs_on(job, frame)
            if state is None or frame_state(fold, frame, runs=peer is not None) == state:
                rows.append(frame_view(fold, frame, running_on=peer))
            if len(rows) >= limit:
                break
        return rows

    def files(self, job: JobId, frame: int) -> FrameFiles | None:
        """Where a frame's bytes are."""
        fold = self.ledger.fold(job)
        return None if fold is None else frame_files(fold, frame, me=self.me)

    def spec(self, job: JobId) -> JobSpec | None:
        """A held job's specification."""
        fold = self.ledger.fold(job)
        return None if fold is None else fold.spec

    def scene(self, job: JobId) -> Manifest | None:
        """A held job's files."""
        fold = self.ledger.fold(job)
        return None if fold is None or fold.accepted is None else fold.accepted.manifest

    def inspection(self, job: JobId) -> Inspection | None:
        """What a held job's scene is, once somebody has looked at it."""
        fold = self.ledger.fold(job)
        return None if fold is None else fold.inspection

    def explain(self, job: JobId) -> list[Reason]:
        """Why a job waits, is held or failed."""
        view = self.job(job)
        if view is None:
            return []
        if self.ledger.owns(job) and view.state not in FINAL_STATES:
            return [*view.held_because, *self.dispatcher.explain(job)]
        reasons = [*view.held_because, *view.waiting_because]
        if view.error:
            reasons.append(Reason("failed", view.error, "see `peerctl frames --state failed` and `peerctl logs`"))
        if view.state not in FINAL_STATES and view.owner not in self.roster.live():
            text = f"the job's owner {view.owner[:8]} cannot be reached; a peer that holds the job takes it over soon"
            reasons.insert(0, Reason("owner_unreachable", text, "if none does, start that peer again", view.owner))
        return reasons

    def peers(self) -> list[PeerView]:
        """Everyone in the mesh as this peer sees it."""
        rtt_ms = {member.peer: None if member.rtt_s is None else round(1000 * member.rtt_s, 3) for member in self.swim.members()}
        return self.roster.views(rtt_ms)

    def busy(self, now: Now) -> tuple[float, list[str]] | None:
        """None when a slot is free; else the seconds until one is, and the user ports of peers with a free slot."""
        claimed = sum(1 for view in self.jobs() if view.only_on == self.me and view.state not in FINAL_STATES)
        seconds = self.thief.busy_s(now)
        if seconds is None and claimed < self.roster.card.slots_total:
            return None
        idle = [peer for peer in self.peers() if not peer.me and peer.slots_free > 0 and not peer.draining]
        free = [peer.address for peer in idle if peer.address]
        return seconds or limits.BATCH_SECONDS_MAX, free
