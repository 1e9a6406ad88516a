"""Chaos under a seed: loss, duplicates, reordering, cuts, crashes, restarts, goodbyes and stops; then calm.

Every seed draws which faults it has at all. Checkers look after each fault, and at the end everybody must see everybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from protocol import limits
from protocol.events import DrainAsked, LoopLagged
from protocol.ids import PeerId
from protocol.membership.members import MemberView
from protocol.membership.options import LAN
from tests.protocol.membership.mesh import Mesh, Peer

PEERS = 5
FAULTS = 12
CALM_S = 60.0
LOOK_S = 0.1
MISSED = "news that gossip missed"  # and the comparing of tables brought
NEEDED = (
    "datagrams cut", "datagrams lost", "datagrams doubled", "datagrams late", "partitions", "one-way cuts", "crashes",
    "hosts gone", "restarts", "stops", "goodbyes", "late loops", "recordings played", "member_refuted",
    "member_suspected", "member_died", "member_returned", "member_left", "dropped as replayed",
)  # fmt: skip


class Checker(Protocol):
    """One promise. `look` raises AssertionError when it is broken."""

    def look(self, mesh: Mesh) -> None: ...


def views(mesh: Mesh) -> Iterable[tuple[Peer, MemberView, Peer]]:
    """Who sees whom: the one that sees, its view, and the process that runs (or ran last) under that id."""
    owners = {peer.swim.me().peer: peer for peer in mesh.peers.values()}
    for peer in mesh.peers.values():
        for view in peer.swim.members():
            if view.peer in owners and view.peer != peer.swim.me().peer:
                yield peer, view, owners[view.peer]


@dataclass
class IncarnationsNeverFall:
    """Within one run of a peer, what it holds of another only ever becomes newer."""

    seen: dict[tuple[int, int, PeerId], tuple[int, int]] = field(default_factory=dict)

    def look(self, mesh: Mesh) -> None:
        for peer, view, _ in views(mesh):
            key = (peer.number, peer.swim.me().run_epoch, view.peer)
            order = (view.run_epoch, view.incarnation)
            assert order >= self.seen.get(key, (0, 0)), "an incarnation fell"
            self.seen[key] = order


class NobodyIsRevivedByARumour:
    """Only what a peer has said of itself makes it alive: never a run or an incarnation that it has not reached."""

    def look(self, mesh: Mesh) -> None:
        for _, view, owner in views(mesh):
            said = owner.swim.me()
            assert view.run_epoch <= said.run_epoch, "a run that never was"
            if view.state == "alive":
                assert (view.run_epoch, view.incarnation) <= (said.run_epoch, said.incarnation), "alive by a rumour"


class QueuesAreBounded:
    """What waits is bounded by the number of members, whatever happens."""

    def look(self, mesh: Mesh) -> None:
        for peer in mesh.peers.values():
            context = peer.swim._ctx
            assert len(context.broadcasts) <= 4 * len(context.members) + 1, "too much to say"
            assert len(context.echoes) <= limits.ECHOES_AWAITED_MAX
            assert len(peer.swim._strangers._waiting) <= limits.STRANGERS_HELD_MAX
            assert 0 <= context.awareness.score <= LAN.health_max
            assert peer.largest <= limits.DATAGRAM_BYTES_MAX


class AllAgree:
    """For the calm: everybody up sees everybody up, holds the same table, and has nothing left to say."""

    def look(self, mesh: Mesh) -> None:
        assert mesh.all_alive(), {number: mesh.views(number) for number in mesh.peers}
        up = [peer for peer in mesh.peers.values() if peer.state == "up"]
        assert _roots(mesh) == 1, "tables differ"
        assert all(len(peer.swim._ctx.broadcasts) == 0 for peer in up), "still talking"


def run(seed: int) -> Counter[str]:
    """One seed; what happened, and how often. Raises AssertionError for a broken promise."""
    mesh, dice = Mesh(seed=seed), Random(seed)
    mesh.loss, mesh.duplicates = dice.choice([0.0, 0.1, 0.3]), dice.choice([0.0, 0.2])
    mesh.reordered, mesh.record = dice.choice([0.0, 0.1]), False
    checkers: list[Checker] = [IncarnationsNeverFall(), NobodyIsRevivedByARumour(), QueuesAreBounded()]
    for number in range(PEERS):
        mesh.start(number, seeds=[0, 1])
    for _ in range(FAULTS):
        _one_fault(mesh, dice)
        until_s = mesh.now_s + dice.uniform(0.5, 9)
        while mesh.now_s < until_s:  # what went wrong may come right again soon
            mesh.run(min(LOOK_S, until_s - mesh.now_s))
            for checker in checkers:
                checker.look(mesh)
    _calm(mesh)
    for checker in (*checkers, AllAgree()):
        checker.look(mesh)
    return mesh.happened


def _calm(mesh: Mesh) -> None:
    mesh.drops, mesh.loss, mesh.duplicates, mesh.reordered = (lambda sender, receiver, kind: False), 0.0, 0.0, 0.0
    for number in range(PEERS):
        if mesh.peers[number].state != "up":
            mesh.start(number, seeds=[0, 1])
    assert mesh.run_until(mesh.all_alive, CALM_S) is not None, {number: mesh.views(number) for number in mesh.peers}
    mesh.run(12)
    if _roots(mesh) > 1:  # gossip may miss somebody, a round of comparing tables does not
        mesh.happened[MISSED] += 1
        mesh.run_until(lambda: _roots(mesh) == 1, 1.1 * mesh.options.sync_interval_s)
        mesh.run(3)


def _roots(mesh: Mesh) -> int:
    """How many tables there are."""
    return len({peer.swim._sync.root() for peer in mesh.peers.values() if peer.state == "up"})


def _one_fault(mesh: Mesh, dice: Random) -> None:
    number, other = dice.sample(range(PEERS), 2)
    up = mesh.peers[number].state == "up"
    fault = dice.choice(["crash", "vanish", "start", "stop", "cut", "one way", "leave", "lag", "replay", "mend", "mend"])
    match fault:
        case "crash" if up:
            mesh.kill(number)
            mesh.happened["crashes"] += 1
        case "vanish" if up:
            mesh.silence(number)
            mesh.happened["hosts gone"] += 1
        case "start" if not up:
            mesh.start(number, seeds=[0, 1])
            mesh.happened["restarts"] += 1
        case "stop" if up:
            mesh.freeze(number, dice.uniform(0.1, 12))
            mesh.happened["stops"] += 1
        case "leave" if up:
            mesh.feed(number, DrainAsked(leave=True))
            mesh.later(3.0, lambda peer=mesh.peers[number]: setattr(peer, "state", "killed"))  # type: ignore[misc]
            mesh.happened["goodbyes"] += 1
        case "lag" if up:
            mesh.feed(number, LoopLagged(0.5))
            mesh.happened["late loops"] += 1
        case "cut":
            half = (number, other)
            mesh.drops = lambda sender, receiver, kind: (sender in half) != (receiver in half)
            mesh.happened["partitions"] += 1
        case "one way":
            mesh.drops = lambda sender, receiver, kind: (sender, receiver) == (number, other)
            mesh.happened["one-way cuts"] += 1
        case "replay" if mesh.recorded:
            _play_back(mesh, dice)
        case "replay":
            mesh.record = True
        case _:
            mesh.drops = lambda sender, receiver, kind: False


def _play_back(mesh: Mesh, dice: Random) -> None:
    """Somebody without the key sends recorded datagrams again, to whomever."""
    for _, sender, _, data in dice.sample(mesh.recorded, min(40, len(mesh.recorded))):
        mesh.deliver(sender, mesh.peers[dice.randrange(PEERS)], data)
    mesh.happened["recordings played"] += 1
