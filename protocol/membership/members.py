"""The table of members: who is known, in which state, in which run.

Decides how members are found, counted and drawn. Refuses to know how a state comes about (`news`) and what time it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

from protocol import limits
from protocol.ids import Address, PeerId
from protocol.membership.suspicion import Suspicion
from protocol.signals import MemberChanged, MemberState
from protocol.wire.gossip import Alive, MemberNews


@dataclass(frozen=True, slots=True)
class MemberView:
    """One member as others may read it. `rtt_s` is the smoothed round trip of direct probes, None before the first."""

    peer: PeerId
    state: MemberState
    run_epoch: int
    incarnation: int
    nonce: bytes
    address: Address
    mesh_port: int
    meta: bytes
    versions: tuple[int, int]
    rtt_s: float | None


@dataclass(slots=True)
class Member:
    """One other peer. Invariants: (run_epoch, incarnation) never falls; `suspicion` is there in the state suspect only.

    `alive` is its own newest news; an accusation may have raised the incarnation above it."""

    alive: Alive
    state: MemberState
    run_epoch: int
    incarnation: int
    since_s: float
    suspicion: Suspicion | None = None
    rtt_s: float | None = None
    retries: int = 0
    probed_extra_s: float = field(default=float("-inf"))
    accused_s: float = field(default=float("-inf"))
    verdict_told_s: float = field(default=float("-inf"))
    stream_only: bool = False
    conflict_told: Alive | None = None
    conflict_told_s: float = field(default=float("-inf"))
    versions_told: tuple[int, int] | None = None

    @property
    def peer(self) -> PeerId:
        """Its id."""
        return self.alive.peer

    @property
    def address(self) -> Address:
        """Where it takes datagrams."""
        return self.alive.address

    @property
    def mesh_address(self) -> Address:
        """Where it takes streams."""
        return Address(self.alive.address.host, self.alive.mesh_port)

    @property
    def up(self) -> bool:
        """Alive, or merely suspected."""
        return self.state in ("alive", "suspect")

    @property
    def order(self) -> tuple[int, int]:
        """The age of what is known: the greater, the newer."""
        return self.run_epoch, self.incarnation

    def news(self) -> MemberNews:
        """All that is known of it, for somebody else."""
        return MemberNews(replace(self.alive, run_epoch=self.run_epoch, incarnation=self.incarnation), self.state)

    def changed(self) -> MemberChanged:
        """What other machines hear."""
        said = self.alive
        return MemberChanged(said.peer, self.state, self.run_epoch, said.address, said.mesh_port, said.meta)

    def view(self) -> MemberView:
        """What people read."""
        said = self.alive
        ids = (said.peer, self.state, self.run_epoch, self.incarnation, said.nonce)
        return MemberView(*ids, said.address, said.mesh_port, said.meta, said.versions, self.rtt_s)


class Members:
    """All other peers that this one knows of. Invariants: every member stands in exactly one of up and down; draws
    depend on the injected Random and the history of calls, on nothing else."""

    def __init__(self) -> None:
        self._all: dict[PeerId, Member] = {}
        self._up: list[PeerId] = []
        self._place: dict[PeerId, int] = {}
        self._down: dict[PeerId, None] = {}  # in the order in which they went down
        self.suspects: dict[PeerId, Member] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._all.values())

    def get(self, peer: PeerId) -> Member | None:
        """The member, in whatever state."""
        return self._all.get(peer)

    @property
    def up_count(self) -> int:
        """Members alive or suspect, myself not counted."""
        return len(self._up)

    @property
    def live(self) -> int:
        """The n of every formula: members alive or suspect, and myself."""
        return len(self._up) + 1

    def up(self) -> Iterator[Member]:
        """Members alive or suspect."""
        return (self._all[peer] for peer in self._up)

    def down(self) -> Iterator[Member]:
        """Members dead or left, those first that went down first."""
        return (self._all[peer] for peer in self._down)

    def lately_dead(self, *, since_s: float) -> list[Member]:
        """The dead since `since_s`, the latest first."""
        found: list[Member] = []
        for peer in reversed(self._down):
            member = self._all[peer]
            if member.since_s < since_s:
                break
            if member.state == "dead":
                found.append(member)
        return found

    def add(self, member: Member) -> None:
        """Take in a member that is up."""
        assert member.peer not in self._all
        assert member.up
        self._all[member.peer] = member
        self._rise(member.peer)

    def move(self, member: Member, state: MemberState, *, at_s: float, suspicion: Suspicion | None = None) -> None:
        """Put a member into a state."""
        was_up = member.up
        if state != member.state:
            member.state, member.since_s = state, at_s
        member.suspicion = suspicion
        if suspicion is not None:
            self.suspects[member.peer] = member
        else:
            self.suspects.pop(member.peer, None)
        if was_up and not member.up:
            self._sink(member.peer)
        elif member.up and not was_up:
            del self._down[member.peer]
            self._rise(member.peer)

    def forget(self, peer: PeerId) -> None:
        """Drop a member that is down."""
        del self._down[peer]
        del self._all[peer]

    @property
    def is_full(self) -> bool:
        """Whether not one more fits."""
        return len(self._all) >= limits.MEMBERS_MAX

    def draw_unsuspected(self, random: Random, count: int, *, without: PeerId) -> list[Member]:
        """At most `count` different members that nobody accuses, by chance."""
        if not self.suspects:
            return self.draw(random, count, without=without)
        pool = [peer for peer in self._up if peer != without and peer not in self.suspects]
        return [self._all[peer] for peer in random.sample(pool, min(count, len(pool)))]

    def draw(self, random: Random, count: int, *, without: PeerId | None = None) -> list[Member]:
        """At most `count` different members that are up, by chance."""
        size = len(self._up)
        if size <= 2 * count + 2:
            pool = [peer for peer in self._up if peer != without]
            return [self._all[peer] for peer in random.sample(pool, min(count, len(pool)))]
        drawn: dict[PeerId, None] = {}
        while len(drawn) < count:
            peer = self._up[random.randrange(size)]
            if peer != without:
                drawn[peer] = None
        return [self._all[peer] for peer in drawn]

    def _rise(self, peer: PeerId) -> None:
        self._place[peer] = len(self._up)
        self._up.append(peer)

    def _sink(self, peer: PeerId) -> None:
        place, last = self._place.pop(peer), self._up.pop()
        if last != peer:
            self._up[place] = last
            self._place[last] = place
        self._down[peer] = None
