"""Who could keep copies of a job, who should, and when a recorded replica is given up.

Decides from liveness, health and hosts alone. Refuses to know how copies travel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protocol import limits
from protocol.ids import PeerId
from protocol.kernel import Now
from protocol.ledger.held import HeldJob
from protocol.ledger.placement import choose
from protocol.signals import PeerChanged


@dataclass(slots=True)
class _Peer:
    live: bool
    useful: bool  # may hold copies: live, not critical, not draining
    host: str
    run_epoch: int
    gone_since: float | None
    left: bool
    fit: bool  # live, and neither draining nor critical: may own jobs


class Replicas:
    """Everybody who may hold copies. Invariants: this peer is one of them, always useful; `count` is R; whom membership has
    forgotten is kept only while a job that is held here names it."""

    def __init__(self, *, me: PeerId, host: str, run_epoch: int, count: int) -> None:
        self._me = me
        self.count = count
        self._peers: dict[PeerId, _Peer] = {me: _Peer(True, True, host, run_epoch, None, False, fit=True)}
        self._forgotten: dict[PeerId, None] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def heard(self, changed: PeerChanged, now: Now) -> bool | None:
        """Take news of a peer. None: nothing that matters; True: it is there in a new run, what it held must be heard anew."""
        known = self._peers.get(changed.peer)
        self._forgotten.pop(changed.peer, None)
        card = changed.card
        fit = card is None or not (card.critical or card.draining)
        useful = changed.live and (changed.peer == self._me or fit)
        gone = None if changed.live else (known.gone_since if known and known.gone_since is not None else now.monotonic_s)
        fresh = known is None or known.run_epoch != changed.run_epoch or (changed.live and not known.live)
        unchanged = known is not None and not fresh and known.live == changed.live and known.useful == useful
        self._peers[changed.peer] = _Peer(
            changed.live, useful, changed.host, changed.run_epoch, gone, changed.state == "left", changed.live and fit
        )
        return None if unchanged or changed.peer == self._me else fresh

    def forgotten(self, peer: PeerId) -> None:
        """Membership has forgotten a peer that was down: `sweep` may drop it."""
        if peer != self._me and peer in self._peers:
            self._forgotten[peer] = None

    def sweep(self, jobs: Iterable[HeldJob], heard_owners: Iterable[PeerId]) -> None:
        """Drop the forgotten, except whom one of `jobs` (all that are held here) or what was heard of them names as replica or
        owner: since when it is gone, and whether it left, decides when it is replaced and succeeded."""
        if not self._forgotten:
            return
        named = {*heard_owners}
        for held in jobs:
            named.update((held.owner, *held.fold.replicas, *held.fold.owners))
        for peer in [peer for peer in self._forgotten if peer not in named]:
            del self._peers[peer], self._forgotten[peer]

    def others(self) -> list[PeerId]:
        """Live peers besides this one that can hold copies."""
        return [peer for peer, known in self._peers.items() if known.useful and peer != self._me]

    def living(self) -> list[PeerId]:
        """Live peers besides this one, whatever they can hold."""
        return [peer for peer, known in self._peers.items() if known.live and peer != self._me]

    def can_own(self, peer: PeerId) -> bool:
        """Whether a peer is there and may dispatch jobs; a suspected one is there."""
        known = self._peers.get(peer)
        return known is not None and known.fit

    def is_known(self, peer: PeerId) -> bool:
        """Whether a peer was ever heard of since this one started."""
        return peer in self._peers

    def has_left(self, peer: PeerId) -> bool:
        """Whether a peer has said goodbye."""
        known = self._peers.get(peer)
        return known is not None and known.left

    def is_live(self, peer: PeerId) -> bool:
        known = self._peers.get(peer)
        return known is not None and known.live

    def targets(self, held: HeldJob) -> list[PeerId]:
        """To whom this peer must bring the job's facts now.

        An owner: the replicas that should hold it, and whoever owns it by a greater fence. Any other holder: the owner, so
        that what is known anywhere comes to it.
        """
        if held.owner == self._me:
            rivals = [held.rival] if held.rival is not None and self.is_live(held.rival) else []
            return [peer for peer in dict.fromkeys([*rivals, *self.wanted(held)]) if peer != self._me]
        owner = held.owner if held.rival is None else held.rival
        return [owner] if self.is_live(owner) else []

    def lacking(self, held: HeldJob) -> list[PeerId]:
        """Targets that do not hold everything yet, and whoever knows more than this owner. A rival, whatever it holds: that it
        owns the job is a fact that is lacking here."""
        targets = self.targets(held)
        if held.owner != self._me:
            return [peer for peer in targets if peer == held.rival or not held.copies.holds_facts(peer)]
        ahead = [peer for peer in held.copies.by_peer if self.is_live(peer) and held.copies.is_ahead(peer)]
        behind = [peer for peer in targets if peer == held.rival or not held.copies.is_synced(peer)]
        return list(dict.fromkeys([*behind, *ahead]))

    def wanted(self, held: HeldJob) -> list[PeerId]:
        """Who should hold this job now: recorded replicas that can, then new ones by rendezvous."""
        useful = [peer for peer, known in self._peers.items() if known.useful]
        hosts = {peer: known.host for peer, known in self._peers.items()}
        keep = [self._me, *(peer for peer in held.fold.replicas if peer != self._me and peer in useful)]
        return choose(held.fold.job, useful, hosts, keep, self.count)

    def to_record(self, held: HeldJob, now: Now) -> tuple[PeerId, ...] | None:
        """The replica set as it should be recorded, or None when it is so already.

        Synced peers are added; the gone are dropped only when enough others hold the job, and after their grace.
        """
        recorded = list(held.fold.replicas)
        wanted = self.wanted(held)
        synced = [peer for peer in wanted if peer == self._me or held.copies.is_synced(peer)]
        together = recorded + [peer for peer in synced if peer not in recorded]
        if len(synced) >= min(self.count, 1 + len(self.others())):
            together = [peer for peer in together if peer in synced or not self._may_go(peer, wanted, now)]
        return None if together == recorded else tuple(together[: limits.REPLICAS_PER_JOB_MAX])

    def _may_go(self, peer: PeerId, wanted: Sequence[PeerId], now: Now) -> bool:
        """A live peer that is not wanted any more goes at once, one that is gone after its grace."""
        known = self._peers.get(peer)
        if known is None:
            return False
        if known.live:
            return peer not in wanted
        return known.left or known.gone_since is None or now.monotonic_s - known.gone_since >= limits.REPLICA_GRACE_S
