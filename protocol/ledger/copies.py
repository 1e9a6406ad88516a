"""Who holds what of a job that this peer owns: facts in order, bytes in place, copies counted.

Decides which facts go to whom next and when a promise is kept. Refuses to know sockets and disks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from protocol import limits
from protocol.ids import PeerId
from protocol.ledger.facts import Fact
from protocol.ledger.fold import JobFold, VersionMap


@dataclass(slots=True)
class Copy:
    """One peer's copy. `held` is durable there, `safe` with all bytes; `sent` has left here (it may be lost)."""

    held: VersionMap = field(default_factory=dict)
    safe: VersionMap = field(default_factory=dict)
    sent: VersionMap = field(default_factory=dict)
    heard: bool = False


class Copies:
    """The copies of one owned job. Invariant: `held` and `safe` are only what their peer itself has said."""

    def __init__(self, fold: JobFold) -> None:
        self._fold = fold
        self.by_peer: dict[PeerId, Copy] = {}

    def news_for(self, peer: PeerId) -> list[Fact]:
        """Facts that have not left for `peer` yet; they count as sent from now on."""
        copy = self.by_peer.setdefault(peer, Copy())
        facts = self._fold.since(copy.sent, limits.FACTS_PER_MESSAGE_MAX)
        for fact in facts:
            copy.sent[fact.author] = fact.seq
        return facts

    def heard(self, peer: PeerId, held: VersionMap, safe: VersionMap) -> bool:
        """The peer says what it holds; True when that is news."""
        copy = self.by_peer.setdefault(peer, Copy())
        changed = not copy.heard or copy.held != held or copy.safe != safe
        copy.held, copy.safe, copy.heard = dict(held), dict(safe), True
        for author, seq in held.items():
            copy.sent[author] = max(copy.sent.get(author, 0), seq)
        return changed

    def told(self, peer: PeerId, held: VersionMap) -> None:
        """The peer has sent facts, and says which ones it holds."""
        copy = self.by_peer.setdefault(peer, Copy())
        for author, seq in held.items():
            copy.held[author] = max(copy.held.get(author, 0), seq)
            copy.sent[author] = max(copy.sent.get(author, 0), seq)

    def holds_facts(self, peer: PeerId) -> bool:
        """Whether a peer is known to hold every fact that is held here."""
        copy = self.by_peer.get(peer)
        return copy is not None and self._fold.covered_by(copy.held)

    def is_ahead(self, peer: PeerId) -> bool:
        """Whether a peer has said that it holds facts that are not held here."""
        copy = self.by_peer.get(peer)
        ours = self._fold.log
        return copy is not None and any(seq > len(ours.get(author, ())) for author, seq in copy.held.items())

    def has_said(self, peer: PeerId) -> bool:
        """Whether a peer has ever said what it holds, in its present run."""
        copy = self.by_peer.get(peer)
        return copy is not None and (copy.heard or bool(copy.held))

    def resend(self, peer: PeerId) -> None:
        """What was sent and never confirmed is taken as lost."""
        copy = self.by_peer.get(peer)
        if copy is not None:
            copy.sent = dict(copy.held)

    def forget(self, peer: PeerId) -> None:
        """The peer's run has ended: what it holds must be heard again."""
        self.by_peer.pop(peer, None)

    def count(self, versions: VersionMap, live: Sequence[PeerId], *, with_bytes: bool) -> int:
        """Live peers besides this one that hold everything up to `versions`, durably."""
        return sum(1 for peer in live if peer in self.by_peer and _covers(self._map(peer, with_bytes), versions))

    def is_synced(self, peer: PeerId) -> bool:
        """Whether a peer holds all facts, and all bytes that were known when it last spoke."""
        copy = self.by_peer.get(peer)
        return copy is not None and copy.heard and self._fold.covered_by(copy.safe)

    def _map(self, peer: PeerId, with_bytes: bool) -> VersionMap:
        copy = self.by_peer[peer]
        return copy.safe if with_bytes else copy.held


def _covers(held: VersionMap, wanted: VersionMap) -> bool:
    return all(held.get(author, 0) >= seq for author, seq in wanted.items())


def wanted_copies(durability: str, *, peers: int, replicas: int) -> int:
    """How many peers, this one included, must hold a job before it is acknowledged (C1).

    `peers` can hold copies now, this one included; `replicas` is R. two: min(2, peers); quorum: a majority of
    min(R, peers); all: min(R, peers); local: 1."""
    match durability:
        case "local":
            return 1
        case "quorum":
            return min(replicas, peers) // 2 + 1 if peers > 1 else 1
        case "all":
            return min(replicas, peers)
        case _:
            return min(2, peers)
