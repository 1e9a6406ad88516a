"""What a checker is: it looks at effects, at messages that leave, at disks and at nodes' own books, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.effects import Effect, Persist, SendStream
from protocol.events import Event
from protocol.ids import Digest, PeerId
from protocol.ledger.facts import Fact
from protocol.records import PutFact
from tests.sim.world import Host, World

HEARD_S = 3.0  # so soon does an owner hear, when nothing is in the way, that a copy is not whole


class Checker:
    """Watches a world; raises `Unsafe`. Override what is needed."""

    def __init__(self, world: World) -> None:
        self.world = world

    def stepped(self, host: Host, event: Event | None, effects: list[Effect]) -> None:
        """A node has taken a step; nothing of it is performed yet."""

    def committed(self, host: Host, batch: list[Effect]) -> None:
        """These effects are durable on that host as of now; nothing that waited for them is performed yet."""

    def leaving(self, host: Host, effect: SendStream) -> None:
        """A message leaves a host now: whatever it had to wait for is durable."""


def facts_in(effects: list[Effect]) -> Iterator[Fact]:
    """Facts that these effects make durable, in order."""
    for effect in effects:
        for record in effect.records if isinstance(effect, Persist) else ():
            if isinstance(record, PutFact):
                yield record.fact


def authored(host: Host, effects: list[Effect]) -> Iterator[Fact]:
    """Facts that the host's node has authored itself, in this very run."""
    assert host.node is not None
    author = host.node.author
    return (fact for fact in facts_in(effects) if fact.author == author)


def usable(host: Host) -> list[PeerId]:
    """Other peers that could hold copies, as the host sees it: there, and neither draining nor critical."""
    assert host.node is not None
    roster = host.node.roster
    cards = {peer: roster.card_of(peer) for peer in roster.live() if peer != host.peer}
    return [peer for peer, card in cards.items() if card is None or not (card.draining or card.critical)]


def is_damage_unheard(world: World, owner: Host, host: Host, digest: Digest) -> bool:
    """Whether another host found its copy damaged, and the owner may not have heard of it: just now, or they could not talk."""
    at, since = host.dropped.get(digest), world.at - HEARD_S
    if at is None or owner is host:
        return False
    if at > since or owner.node is None or host.node is None:
        return True
    sees = host.peer in owner.node.roster.live() and owner.peer in host.node.roster.live()
    return not (sees and world.calm_between(owner, host, since))
