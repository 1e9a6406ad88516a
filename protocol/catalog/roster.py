"""Who is in the mesh and what each says of itself: membership and cards, joined. Publishes this peer's own card.

Refuses to know jobs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from protocol.cards import CARD_KEY, DISTRUST, Check, PeerCard, card_from_bytes, card_to_bytes
from protocol.effects import Effect
from protocol.errors import Malformed
from protocol.events import DrainAsked, Event, HealthChanged, RenderersFound, UndrainAsked
from protocol.ids import Address, PeerId
from protocol.kernel import Now
from protocol.signals import (
    CatalogChanged,
    MemberChanged,
    MemberForgotten,
    MemberState,
    PeerChanged,
    Publish,
    Signal,
    SlotsUsed,
    TrustChanged,
)
from protocol.views import PeerView

Output = Effect | Signal
SLOTS_PUBLISH_S: Final = 1.0  # how often at most a change of free slots alone is published


@dataclass(slots=True)
class _Known:
    state: MemberState
    run_epoch: int
    address: Address
    mesh_port: int
    card: PeerCard | None = None


class Roster:
    """Invariants: this peer stands in it from the start, alive; a peer without a card is known by its id alone."""

    def __init__(self, *, me: PeerId, run_epoch: int, address: Address, mesh_port: int, card: PeerCard) -> None:
        self._me = me
        self.card = card
        self._peers: dict[PeerId, _Known] = {me: _Known("alive", run_epoch, address, mesh_port, card)}
        self._cards: dict[PeerId, PeerCard] = {}
        self._distrusted: dict[PeerId, str] = {}  # and why
        self._publish_at: float | None = None
        self._dirty = False

    # reading

    def stream_address(self, peer: PeerId) -> Address | None:
        """Where a peer's mesh port listens, while it is not dead or left."""
        known = self._peers.get(peer)
        if known is None or known.state in ("dead", "left"):
            return None
        return Address(known.address.host, known.mesh_port)

    def live(self) -> list[PeerId]:
        """Peers that are alive or suspected, this one included, sorted."""
        return sorted(peer for peer, known in self._peers.items() if known.state in ("alive", "suspect"))

    def state(self, peer: PeerId) -> MemberState | None:
        """A peer's state, None when it was never heard of."""
        known = self._peers.get(peer)
        return None if known is None else known.state

    def card_of(self, peer: PeerId) -> PeerCard | None:
        """What a peer says of itself."""
        known = self._peers.get(peer)
        return None if known is None else self._seen(peer, known)

    def views(self, rtt_ms: dict[PeerId, float | None]) -> list[PeerView]:
        """Every peer, by name and then id."""
        rows = [self._view(peer, known, rtt_ms.get(peer)) for peer, known in self._peers.items()]
        return sorted(rows, key=lambda row: (row.name, row.id))

    def _view(self, peer: PeerId, known: _Known, rtt_ms: float | None) -> PeerView:
        card = self._seen(peer, known) or PeerCard(name=peer[:8])
        return PeerView(
            id=peer, name=card.name, state=known.state, address=card.url,
            slots_total=card.slots_total, slots_free=card.slots_free if known.state in ("alive", "suspect") else 0,
            labels=dict(card.labels),
            capabilities=tuple(
                {"renderer": c.renderer, "version": c.version, "build": c.build, "home": c.home,
                 "engines": list(c.engines), "devices": list(c.devices), "oidn": c.oidn, "sandbox": c.sandbox,
                 "kernel": c.kernel}
                for c in card.capabilities
            ),
            checks=tuple({"name": c.name, "status": c.status, "output": c.output} for c in card.checks),
            version=card.version, rtt_ms=rtt_ms, draining=card.draining,
            renderer_reasons=card.renderer_reasons, me=peer == self._me, roots=card.roots,
        )  # fmt: skip

    # the machine

    def start(self) -> list[Output]:
        """Say who we are, first of all."""
        return self._say()

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Events about this peer; signals MemberChanged, MemberForgotten, CatalogChanged (cards), SlotsUsed."""
        match event:
            case MemberChanged():
                return self._member(event)
            case MemberForgotten(peer) if peer != self._me:
                self._peers.pop(peer, None)
                self._cards.pop(peer, None)
                return []
            case CatalogChanged(writer, key, value) if key == CARD_KEY and writer != self._me:
                return self._heard_card(writer, value)
            case TrustChanged(peer, reason, _):
                return self._trust(peer, reason)
            case SlotsUsed(free):
                return self._slots(free, now)
            case RenderersFound(capabilities, reasons):
                return self._restate(replace(self.card, capabilities=capabilities, renderer_reasons=reasons))
            case HealthChanged(checks):
                return self._restate(replace(self.card, checks=tuple(Check(*check) for check in checks)))
            case DrainAsked():
                return self._restate(replace(self.card, draining=True))
            case UndrainAsked():
                return self._restate(replace(self.card, draining=False))
            case _:
                return []

    def on_deadline(self, now: Now) -> list[Output]:
        if self._publish_at is None or now.monotonic_s < self._publish_at:
            return []
        if not self._dirty:
            self._publish_at = None
            return []
        self._publish_at = now.monotonic_s + SLOTS_PUBLISH_S
        return self._say()

    def next_deadline(self) -> float | None:
        return self._publish_at

    # rules

    def _restate(self, card: PeerCard) -> list[Output]:
        if card == self.card:
            return []
        self.card = card
        return self._say()

    def _say(self) -> list[Output]:
        self._dirty = False
        self._peers[self._me].card = self.card
        return [Publish(CARD_KEY, card_to_bytes(self.card)), self._changed(self._me)]

    def _slots(self, free: int, now: Now) -> list[Output]:
        """Free slots change with every lease: others hear of it at most once a second, at once after a quiet time."""
        self.card = replace(self.card, slots_free=free)
        self._peers[self._me].card = self.card
        if self._publish_at is not None:
            self._dirty = True
            return [self._changed(self._me)]
        self._publish_at = now.monotonic_s + SLOTS_PUBLISH_S
        return self._say()

    def _member(self, changed: MemberChanged) -> list[Output]:
        if changed.peer == self._me:
            return []
        card = self._cards.get(changed.peer)
        self._peers[changed.peer] = _Known(changed.state, changed.run_epoch, changed.address, changed.mesh_port, card)
        return [self._changed(changed.peer)]

    def _heard_card(self, writer: PeerId, value: bytes | None) -> list[Output]:
        if value is None:
            self._cards.pop(writer, None)
            return []
        try:
            self._cards[writer] = card_from_bytes(value)
        except Malformed:
            return []  # a newer peer's card that this one cannot read: it stays known by its id
        if writer not in self._peers:
            return []
        self._peers[writer].card = self._cards[writer]
        return [self._changed(writer)]

    def _changed(self, peer: PeerId) -> PeerChanged:
        known = self._peers[peer]
        return PeerChanged(peer, known.state, known.run_epoch, known.address.host, self._seen(peer, known))

    def _trust(self, peer: PeerId, reason: str) -> list[Output]:
        if reason:
            self._distrusted[peer] = reason
        else:
            self._distrusted.pop(peer, None)
        return [self._changed(peer)] if peer in self._peers else []

    def _seen(self, peer: PeerId, known: _Known) -> PeerCard | None:
        """What a peer says of itself, with what others hold against it: a check that it cannot take away."""
        reason, card = self._distrusted.get(peer), known.card
        if reason is None or card is None:
            return card
        return replace(card, checks=(*card.checks, Check(DISTRUST, "critical", reason)))
