"""What a job's owner can say about its future: how long it will take, and why its frames wait."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.cards import PeerCard
from protocol.ids import PeerId
from protocol.scheduling.holdings import Holdings
from protocol.scheduling.matching import unmet
from protocol.views import Reason


def eta_s(book: Holdings) -> float | None:
    """Seconds until the last frame ends at the present pace; None without a basis."""
    workers = [lease.peer for lease in book.leases.values()]
    speeds = [speed for peer in workers if (speed := book.times.speed(peer)) is not None]
    if not speeds:
        return None
    return round((book.pending + book.running) / sum(speeds), 1)


def why_waiting(book: Holdings, cards: Mapping[PeerId, PeerCard]) -> list[Reason]:
    """Per requirement and per peer; empty when nothing waits."""
    if not book.waiting:
        return []
    gaps = {peer: unmet(book.work, peer, card) for peer, card in cards.items()}
    capable = [peer for peer, reasons in gaps.items() if not reasons]
    if not capable:
        text = f"no peer of {len(cards)} can render this job"
        head = Reason("no_capable_peer", text, "see the reasons per peer; `peerctl doctor` on a peer shows what it lacks")
        return [head, *(reason for reasons in gaps.values() for reason in reasons)]
    free = [peer for peer in capable if cards[peer].slots_free > 0]
    what = "the inspection waits" if book.work.frames is None else f"{book.pending} frames wait"
    if free:
        return [Reason("being_taken", f"{what} for {len(free)} free peers, which have been told")]
    text = f"{what}: all {len(capable)} peers that can render this job are busy"
    return [Reason("peers_busy", text, "add peers, or raise the priority")]
