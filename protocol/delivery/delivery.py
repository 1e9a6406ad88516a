"""Delivery to output roots: an owner finds a peer that has the root, hands it frames, and hears what became of them.

Both sides are here. The owner's decides who carries what, when it is tried again and why it waits; the carrier's brings the
bytes here and lets the shell put them in place. Refuses to know files and disks, and what the ledger makes of it.
"""

from __future__ import annotations

from protocol import limits
from protocol.cards import PeerCard
from protocol.delivery.consignment import Consignment, Flight
from protocol.effects import Deliver, Effect, FetchBlobs, Notice
from protocol.events import BlobsEnded, DeliverEnded, Event, StreamFailed, StreamReceived
from protocol.ids import JobId, PeerId, Ticket
from protocol.jobs.destination import is_store, serving
from protocol.kernel import Now
from protocol.signals import (
    DeliveryDue,
    DeliverySwept,
    DeliveryVoid,
    DeliveryWaits,
    FramesDelivered,
    PeerChanged,
    Send,
    Signal,
    WorkClosed,
)
from protocol.views import Reason
from protocol.wire.delivery import Carried, Carry

Output = Effect | Signal
REMEDIES = {
    "output_root_gone": "mount or make it again; it goes on by itself",
    "output_root_read_only": "let the peer write there; it goes on by itself",
    "output_root_full": "make room there; it goes on by itself",
}


class Delivery:
    """Invariants: per job one batch is under way; a frame is told delivered only after its carrier has said so; every Carry
    that is taken up here is answered, also when it came twice."""

    def __init__(self, *, me: PeerId, run_epoch: int, roots: tuple[str, ...]) -> None:
        self._me = me
        self._counter = run_epoch << 32
        self._jobs: dict[JobId, Consignment] = {}
        self._roots: dict[PeerId, tuple[str, ...]] = {me: roots}  # where there are any, of peers that are live and fit
        self._carrying: dict[Ticket, tuple[PeerId, Carry]] = {}

    # the machine

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Signals from ledger and roster; messages of the other side; fetched bytes, and files in place."""
        match event:
            case DeliveryDue():
                return self._due(event, now)
            case WorkClosed(job) | DeliveryVoid(job):
                self._jobs.pop(job, None)
                return []
            case PeerChanged():
                return self._peer(event, now)
            case StreamReceived(sender, Carried() as carried):
                return self._carried(sender, carried, now)
            case StreamFailed(peer, Carry(job=job, number=number)):
                return self._failed(peer, job, number, now)
            case StreamReceived(sender, Carry() as carry):
                return self._take_up(sender, carry)
            case BlobsEnded(ticket, error) if ticket in self._carrying:
                return self._fetched(ticket, error)
            case DeliverEnded(ticket) if ticket in self._carrying:
                return self._ended(event)
            case _:
                return []

    def on_deadline(self, now: Now) -> list[Output]:
        """Try again what failed; ask again who does not answer."""
        outputs: list[Output] = []
        for job, consignment in list(self._jobs.items()):
            flight = consignment.flight
            if flight is not None and flight.resend_at <= now.monotonic_s:
                flight.resend_at = now.monotonic_s + limits.CARRY_RESEND_S
                outputs.append(Send(flight.peer, flight.carry))
            elif flight is None:
                outputs.extend(self._go_on(job, now))
        return outputs

    def next_deadline(self) -> float | None:
        return min((at for one in self._jobs.values() if (at := one.next_at()) is not None), default=None)

    # the owner's side

    def _due(self, due: DeliveryDue, now: Now) -> list[Output]:
        consignment = self._jobs.setdefault(due.job, Consignment(due))
        consignment.add(due)
        return self._go_on(due.job, now)

    def _go_on(self, job: JobId, now: Now) -> list[Output]:
        """Hand out the next batch, unless one is under way, the last one has just failed, or nobody has the root."""
        consignment = self._jobs.get(job)
        if consignment is None or consignment.flight is not None or consignment.retry_at > now.monotonic_s:
            return []
        if consignment.is_swept:
            del self._jobs[job]
            return [DeliverySwept(job)]
        if not consignment.has_work:
            return []
        carriers = self._carriers(consignment)
        if not carriers:
            return self._wait(consignment, (_no_root(consignment.root, consignment.folder),))
        peer = carriers[consignment.failures % len(carriers)]
        self._counter += 1
        carry = consignment.next_carry(self._counter)
        consignment.flight = Flight(peer, carry, now.monotonic_s + limits.CARRY_RESEND_S)
        return [Send(peer, carry)]

    def _carriers(self, consignment: Consignment) -> list[PeerId]:
        """This peer first, since the bytes of its jobs are here; then the others in order of their ids."""
        having = sorted(peer for peer, roots in self._roots.items() if _serves(roots, consignment))
        return sorted(having, key=lambda peer: peer != self._me)

    def _wait(self, consignment: Consignment, reasons: tuple[Reason, ...]) -> list[Output]:
        if consignment.reasons == reasons:
            return []
        consignment.reasons = reasons
        job = consignment.job
        said: list[Output] = [DeliveryWaits(job, reasons)]
        for reason in reasons:
            said.append(Notice("delivery_waits", "warning", job, {"code": reason.code, "reason": reason.text}))
        return said

    def _carried(self, sender: PeerId, carried: Carried, now: Now) -> list[Output]:
        consignment = self._jobs.get(carried.job)
        flight = None if consignment is None else consignment.flight
        if consignment is None or flight is None or (flight.peer, flight.carry.number) != (sender, carried.number):
            return []
        outputs: list[Output] = []
        placed = consignment.landed(carried)
        if placed and not flight.carry.sweep:
            outputs.append(FramesDelivered(carried.job, sender, placed))
            outputs.extend(_notices(carried.job, sender, flight.carry.folder, carried))
        if carried.code:
            consignment.fail(now)
            remedy = REMEDIES.get(carried.code, "see the peer's log; it is tried again")
            outputs.extend(self._wait(consignment, (Reason(carried.code, carried.reason, remedy, sender),)))
        else:
            consignment.failures = 0
            outputs.extend(self._wait(consignment, ()))
        return [*outputs, *self._go_on(carried.job, now)]

    def _failed(self, peer: PeerId, job: JobId, number: int, now: Now) -> list[Output]:
        consignment = self._jobs.get(job)
        flight = None if consignment is None else consignment.flight
        if consignment is None or flight is None or (flight.peer, flight.carry.number) != (peer, number):
            return []
        consignment.flight = None
        consignment.fail(now)
        text = f"peer {peer[:8]}, which has the output root {consignment.root!r}, cannot be reached"
        return self._wait(consignment, (Reason("output_root_unreachable", text, "it is tried again", peer),))

    def _peer(self, changed: PeerChanged, now: Now) -> list[Output]:
        roots = _roots_of(changed.card) if changed.live else ()
        if self._roots.get(changed.peer, ()) == roots:
            return []
        if roots:
            self._roots[changed.peer] = roots
        else:
            del self._roots[changed.peer]
        outputs: list[Output] = []
        for job, consignment in list(self._jobs.items()):
            flight = consignment.flight
            if flight is not None and flight.peer == changed.peer and not _serves(roots, consignment):
                consignment.flight = None
            if _serves(roots, consignment):
                consignment.retry_at = now.monotonic_s
            outputs.extend(self._go_on(job, now))
        return outputs

    # the carrier's side

    def _take_up(self, sender: PeerId, carry: Carry) -> list[Output]:
        ticket = Ticket(f"carry-{sender}-{carry.job}-{carry.number}")
        if ticket in self._carrying:
            return []  # it is under way, and will be answered
        if serving(self._roots.get(self._me, ()), carry.root, carry.folder) is None:
            reason = f"peer {self._me[:8]} has no output root {carry.root!r}"
            return [Send(sender, Carried(carry.job, carry.number, (), "no_output_root", reason))]
        self._carrying[ticket] = (sender, carry)
        if carry.sweep:
            return [self._deliver(ticket, carry)]
        items = {output.digest: output.size for parcel in carry.parcels for output in parcel.outputs}
        holders = tuple(peer for peer in carry.holders if peer != self._me)
        return [FetchBlobs(ticket, tuple(items.items()), holders, None)]

    def _fetched(self, ticket: Ticket, error: str) -> list[Output]:
        sender, carry = self._carrying[ticket]
        if not error:
            return [self._deliver(ticket, carry)]
        del self._carrying[ticket]
        reason = f"the frames could not be brought to the peer with the output root: {error}"
        return [Send(sender, Carried(carry.job, carry.number, (), "output_unreachable", reason[: limits.REASON_CHARS_MAX]))]

    def _deliver(self, ticket: Ticket, carry: Carry) -> Deliver:
        return Deliver(ticket, carry.job, carry.root, carry.folder, carry.sweep, carry.parcels)

    def _ended(self, ended: DeliverEnded) -> list[Output]:
        sender, carry = self._carrying.pop(ended.ticket)
        reason = ended.reason[: limits.REASON_CHARS_MAX]
        return [Send(sender, Carried(carry.job, carry.number, ended.placed, ended.code, reason))]


def _serves(roots: tuple[str, ...], consignment: Consignment) -> bool:
    return serving(roots, consignment.root, consignment.folder) is not None


def _no_root(root: str, folder: str) -> Reason:
    if is_store(root):
        text = f"no peer that is here now has an output root that holds {root}/{folder}".rstrip("/")
        return Reason("no_output_root", text, f"start a peer with --output-root NAME={root}")
    text = f"no peer that is here now has the output root {root!r}"
    return Reason("no_output_root", text, f"start a peer with --output-root {root}=PATH")


def _roots_of(card: PeerCard | None) -> tuple[str, ...]:
    return () if card is None else card.roots


def _notices(job: JobId, peer: PeerId, folder: str, carried: Carried) -> list[Notice]:
    frames = [one.frame for one in carried.placed]
    said = [Notice("frames_delivered", job=job, fields={"frames": frames, "by": peer, "folder": folder})]
    for one in carried.placed:
        for name in one.conflicts:
            fields = {"frame": one.frame, "name": name, "by": peer, "reason": "another file has this name, and was kept"}
            said.append(Notice("delivery_conflict", "warning", job, fields))
    return said
