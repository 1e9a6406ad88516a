"""Turning the mesh's key without stopping the mesh: install, use, remove; and leaving somebody out.

Decides what this peer's ring holds, what the others must still be told, and when an operator's order is done. Every peer
keeps the whole ring, so that an order is a merge: whoever was away hears of it from the next peer that it meets (rings are
compared when somebody comes, and once a minute in a ring that was ever touched). Secrets go to the ids that a key is for,
over streams whose receiver has proven its id, and to nobody else. Refuses to know sockets, certificates and files.

Expelling a peer is: install a key that is for all the others, use it, remove the old one. In between whoever is being
expelled still opens datagrams under the old key, is told nothing and is not listened to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from protocol import limits
from protocol.effects import Effect, Notice, Persist, Reply, UseKeys
from protocol.errors import Conflict, Invalid, NotFound, Refusal, Unavailable
from protocol.events import Booted, Event, KeysAsked, KeysInUse, StreamReceived
from protocol.ids import PeerId, RequestId
from protocol.kernel import Now
from protocol.keyring.state import HeldKey, RingState, stored_under, write_ring
from protocol.records import PutValue
from protocol.signals import MemberChanged, MemberForgotten, Send, Signal
from protocol.views import MeshKeysView, MeshKeyView
from protocol.wire.keys import KeyGiven, KeysHeld
from protocol.wire.seal import MeshKey, parse_mesh_key

Output = Effect | Signal
PEERS_NAMED = 8


@dataclass(slots=True)
class _Ask:
    """An order under way. `look`: what the others hold is being asked; `confirm`: they are being told.

    `whom` are those who were live at its beginning and are not being expelled: it waits for nobody else."""

    event: KeysAsked
    stage: Literal["look", "confirm"]
    fingerprint: str
    again_s: float
    ends_s: float
    whom: tuple[PeerId, ...]
    heard: dict[PeerId, None] = field(default_factory=dict)

    @property
    def request(self) -> RequestId:
        return self.event.request


@dataclass(slots=True)
class _Known:
    """A member that has not left. `seen` is what it last said that it holds."""

    up: bool
    seen: KeysHeld | None = None


class Keyring:
    """Invariants: what this peer says that it holds is on its disk and in use by its sockets; a removed key never comes back;
    an order is answered exactly once, at the latest after twice `limits.KEYS_CONFIRM_S`; a fresh ring says nothing at all."""

    def __init__(self, *, me: PeerId, state: RingState | None, random: Random) -> None:
        self._me = me
        self._state = state
        self._told = state  # what is in use, and so may be said
        self._version = 0
        self._random = random
        self._known: dict[PeerId, _Known] = {}
        self._owed: dict[PeerId, None] = {}
        self._given: dict[tuple[PeerId, str], float] = {}
        self._asks: list[_Ask] = []
        self._round_s: float | None = None

    @property
    def state(self) -> RingState | None:
        """The ring as it stands; None for a peer whose keys are no concern of this machine."""
        return self._state

    # ---- the machine -------------------------------------------------------------------------------------------

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Orders of the shell, rings of other peers, and who is there to be told."""
        if self._state is None:
            return _no_ring(event)
        match event:
            case Booted(_, values):
                stored = write_ring(self._state)
                changed = not self._state.is_fresh and values.get(stored_under(self._state.primary)) != stored
                return [self._persist(self._state)] if changed else []
            case KeysAsked():
                return self._ask(event, self._state, now.monotonic_s)
            case KeysInUse(version):
                return self._in_use(version, now.monotonic_s)
            case StreamReceived(sender, KeysHeld() as held) if sender != self._me:
                return self._compare(sender, held, self._state, now.monotonic_s)
            case StreamReceived(sender, KeyGiven() as given) if sender != self._me:
                return self._given_by(sender, given, self._state, now.monotonic_s)
            case MemberChanged():
                return self._member(event, self._state, now.monotonic_s)
            case MemberForgotten(peer):
                self._known.pop(peer, None)
                self._owed.pop(peer, None)
                return []
            case _:
                return []

    def next_deadline(self) -> float | None:
        """The next look at an order, or the next round."""
        times = [min(ask.again_s, ask.ends_s) for ask in self._asks]
        return min([*times, *([self._round_s] if self._round_s is not None else [])], default=None)

    def on_deadline(self, now: Now) -> list[Output]:
        """Tell again, give up waiting, compare rings with somebody."""
        now_s, state, outputs = now.monotonic_s, self._state, list[Output]()
        if state is None:
            return outputs
        for ask in list(self._asks):
            if ask.ends_s <= now_s:
                outputs += self._advance(ask, now_s)
            elif ask.again_s <= now_s:
                ask.again_s = now_s + limits.KEYS_RESEND_S
                outputs += [self._held(peer, reply=True) for peer in self._missing(ask)]
        if self._round_s is not None and self._round_s <= now_s:
            self._round_s = now_s + limits.KEYS_ROUND_S * self._random.uniform(0.8, 1.2)
            live = self._live(state)
            outputs += [self._held(self._random.choice(live), reply=True)] if live else []
        return outputs

    # ---- who is there ------------------------------------------------------------------------------------------

    def _member(self, event: MemberChanged, state: RingState, now_s: float) -> list[Output]:
        if event.state == "left":
            self._known.pop(event.peer, None)
            return []
        known = self._known.get(event.peer)
        if known is None:
            if event.state != "alive":  # dead before it was known here, or just expelled: no concern of ours
                return []
            known = self._known[event.peer] = _Known(False)
        rose, known.up = not known.up and event.state in ("alive", "suspect"), event.state != "dead"
        if self._round_s is None and not state.is_fresh:
            self._round_s = now_s + limits.KEYS_ROUND_S * self._random.uniform(0, 1)
        few = limits.KEYS_GREETED_FEW / max(1, len(self._known))
        greet = rose and not state.is_fresh and self._hears(event.peer, state) and self._random.random() < few
        return [self._held(event.peer, reply=True)] if greet else []

    def _hears(self, peer: PeerId, state: RingState) -> bool:
        """Whoever is being expelled is told nothing and has no say."""
        return state.is_audience(peer)

    def _live(self, state: RingState) -> list[PeerId]:
        return [peer for peer, known in self._known.items() if known.up and self._hears(peer, state)]

    # ---- orders ------------------------------------------------------------------------------------------------

    def _ask(self, event: KeysAsked, state: RingState, now_s: float) -> list[Output]:
        if len(self._asks) >= limits.KEYS_ASKS_MAX:
            busy = Unavailable("too_many_orders", "too many orders about keys are under way", retry_after_s=limits.KEYS_CONFIRM_S)
            return [Reply(event.request, busy)]
        ends_s = now_s + limits.KEYS_CONFIRM_S
        ask = _Ask(event, "look", event.fingerprint, now_s + limits.KEYS_RESEND_S, ends_s, tuple(self._live(state)))
        try:
            if event.action == "install":
                return self._install(ask, state, now_s)
            if event.action != "list":
                _named(state, event.fingerprint)
        except Refusal as refusal:
            return [Reply(event.request, refusal)]
        self._asks.append(ask)
        said: list[Output] = [self._held(peer, reply=True) for peer in self._missing(ask)]
        return said or self._advance(ask, now_s)

    def _install(self, ask: _Ask, state: RingState, now_s: float) -> list[Output]:
        key = parse_mesh_key(ask.event.key, name=state.primary.name)
        audience = self._audience(ask.event.expel, key, state)
        ask.fingerprint, ask.stage = key.fingerprint, "confirm"
        new = state.install(HeldKey(key, audience))
        ask.whom = tuple(peer for peer in ask.whom if new.is_audience(peer))
        self._asks.append(ask)
        return self._become(new, now_s) or [
            *(give for peer in self._missing(ask) for give in self._give(peer, new, None, now_s)),
            *self._settle(now_s),
        ]

    def _audience(self, expel: tuple[PeerId, ...], key: MeshKey, state: RingState) -> tuple[PeerId, ...] | None:
        if not expel:
            return None
        if self._me in expel:
            raise Invalid("own_peer", "a peer does not expel itself; ask another one")
        if state.find(key.fingerprint) is not None:
            raise Conflict("key_known", "every peer has been given this key already; to leave one out, take a new one")
        return tuple(sorted((self._me, *(peer for peer in self._live(state) if peer not in expel))))

    def _advance(self, ask: _Ask, now_s: float) -> list[Output]:
        """All have answered, or time is over: act, or say how it ended."""
        assert self._state is not None
        if ask.stage == "confirm" or ask.event.action == "list":
            return self._end(ask, self._view(self._state))
        try:
            new = self._ordered(ask, self._state)
        except Refusal as refusal:
            return self._end(ask, refusal)
        ask.stage, ask.heard = "confirm", {}
        ask.again_s, ask.ends_s = now_s + limits.KEYS_RESEND_S, now_s + limits.KEYS_CONFIRM_S
        return self._become(new, now_s) or self._settle(now_s)

    def _ordered(self, ask: _Ask, state: RingState) -> RingState:
        """The ring after `use` or `remove`. Raises `Conflict`, `NotFound`, `Invalid`."""
        held = _named(state, ask.fingerprint)
        if ask.event.action == "use":
            without = [peer for peer in self._up_for(held) if not self._holds(peer, held.fingerprint)]
            if without and not ask.event.force:
                raise Conflict("key_not_held", f"{_names(without)} would be cut off: not confirmed to hold {held.fingerprint}")
            return state if state.primary == held.key else state.use((state.used[0] + 1, held.fingerprint))
        if held.key == state.primary:
            raise Invalid("primary_key", f"key {held.fingerprint} seals; use another one first")
        behind = [peer for peer, known in self._known.items() if self._hears(peer, state) and not _uses(known.seen, state)]
        if behind and not ask.event.force:
            raise Conflict("key_in_use", f"{_names(behind)} would be cut off: not confirmed to use {state.primary.fingerprint}")
        return state.remove((held.fingerprint,))

    def _up_for(self, held: HeldKey) -> list[PeerId]:
        return [peer for peer, known in self._known.items() if known.up and held.is_for(peer)]

    def _holds(self, peer: PeerId, fingerprint: str) -> bool:
        seen = self._known[peer].seen
        return seen is not None and fingerprint in seen.keys

    def _missing(self, ask: _Ask) -> list[PeerId]:
        """Live peers from whom the order still waits for a word."""
        assert self._state is not None
        up = [(peer, known) for peer, known in self._known.items() if known.up and peer in ask.whom]
        return [peer for peer, known in up if not self._has_confirmed(ask, peer, known.seen, self._state)]

    def _has_confirmed(self, ask: _Ask, peer: PeerId, seen: KeysHeld | None, state: RingState) -> bool:
        if ask.stage == "look":
            return peer in ask.heard
        if seen is None:
            return False
        match ask.event.action:
            case "install":
                return ask.fingerprint in seen.keys
            case "use":
                return seen.used >= state.used
            case _:
                return ask.fingerprint not in seen.keys

    def _settle(self, now_s: float) -> list[Output]:
        """Orders for which nobody is missing go on. Only once this peer itself uses what it orders."""
        outputs: list[Output] = []
        for ask in list(self._asks):
            if ask in self._asks and self._told == self._state and not self._missing(ask):
                outputs += self._advance(ask, now_s)
        return outputs

    def _end(self, ask: _Ask, value: MeshKeysView | Refusal) -> list[Output]:
        self._asks.remove(ask)
        return [Reply(ask.request, value)]

    # ---- what changes ------------------------------------------------------------------------------------------

    def _become(self, new: RingState, now_s: float) -> list[Output]:
        """Store the ring and have it used; the others are told once it is."""
        if new == self._state:
            return []
        before, self._state = self._state, new
        if before is not None and len(new.keys) == 1:  # who was being expelled has not got the key that is left
            self._known = {peer: known for peer, known in self._known.items() if before.is_audience(peer)}
        self._version += 1
        if self._round_s is None:
            self._round_s = now_s + limits.KEYS_ROUND_S * self._random.uniform(0, 1)
        names = list(new.fingerprints)
        told = Notice("mesh_keys_changed", fields={"keys": names, "used": new.primary.fingerprint, "removed": list(new.removed)})
        return [self._persist(new), UseKeys(new.ring, self._version), told]

    def _in_use(self, version: int, now_s: float) -> list[Output]:
        """The sockets have taken over a ring: what is said about it from now on is true."""
        if version != self._version or self._state is None:
            return []
        self._told = self._state
        owed, self._owed = list(self._owed), {}
        outputs: list[Output] = [self._held(peer, reply=False) for peer in owed]
        for ask in self._asks:
            for peer in self._missing(ask):
                if ask.event.action == "install":
                    outputs += self._give(peer, self._state, self._known[peer].seen, now_s)
                outputs.append(self._held(peer, reply=True))
        return [*outputs, *self._settle(now_s)]

    def _compare(self, sender: PeerId, held: KeysHeld, state: RingState, now_s: float) -> list[Output]:
        """Another peer's ring: take what is newer there, tell it what is newer here."""
        if not self._hears(sender, state):
            return []
        if sender in self._known:
            self._known[sender].seen = held
        for ask in self._asks:
            ask.heard[sender] = None
        outputs = self._become(state.use(held.used).remove(held.removed).use(held.used), now_s)
        state = self._state or state
        if outputs:
            self._owed[sender] = None
            return outputs
        outputs += self._give(sender, state, held, now_s)
        if held.reply or _is_behind(held, state):
            outputs.append(self._held(sender, reply=False))
        return [*outputs, *self._settle(now_s)]

    def _give(self, peer: PeerId, state: RingState, held: KeysHeld | None, now_s: float) -> list[Output]:
        """The keys that `peer` lacks and is meant to have, each at most once a second."""
        outputs: list[Output] = []
        if not self._hears(peer, state) or state.is_fresh:
            return outputs
        for one in state.keys:
            lacks = held is None or (one.fingerprint not in held.keys and one.fingerprint not in held.removed)
            if lacks and now_s - self._given.get((peer, one.fingerprint), float("-inf")) >= limits.KEYS_RESEND_S:
                self._given[peer, one.fingerprint] = now_s
                outputs.append(Send(peer, KeyGiven(one.key.key, one.audience)))
        while len(self._given) > limits.MEMBERS_MAX:
            del self._given[next(iter(self._given))]
        return outputs

    def _given_by(self, sender: PeerId, given: KeyGiven, state: RingState, now_s: float) -> list[Output]:
        if not self._hears(sender, state) or (given.audience is not None and self._me not in given.audience):
            return []
        key = MeshKey(state.primary.mesh_id, given.key, state.primary.name)
        try:
            new = state.install(HeldKey(key, given.audience))
        except Invalid as refusal:  # removed, or no room: an answer would only bring it again
            return [Notice("mesh_key_refused", "warning", fields={"key": key.fingerprint, "peer": sender, "why": refusal.code})]
        outputs = self._become(new, now_s)
        if outputs:
            self._owed[sender] = None
            return outputs
        return [self._held(sender, reply=False)]

    # ---- what is said ------------------------------------------------------------------------------------------

    def _held(self, peer: PeerId, *, reply: bool) -> Send:
        assert self._told is not None
        return Send(peer, KeysHeld(self._told.fingerprints, self._told.used, self._told.removed, reply))

    def _persist(self, state: RingState) -> Persist:
        return Persist((PutValue(stored_under(state.primary), write_ring(state)),))

    def _view(self, state: RingState) -> MeshKeysView:
        rows = []
        for held in state.keys:
            meant = [peer for peer in sorted(self._known) if held.is_for(peer)]
            missing = tuple(peer for peer in meant if not self._holds(peer, held.fingerprint))
            rows.append(MeshKeyView(held.fingerprint, held.key == state.primary, 1 + len(meant) - len(missing), missing))
        behind = tuple(
            peer for peer in sorted(self._known) if self._hears(peer, state) and not _agrees(self._known[peer].seen, state)
        )
        return MeshKeysView(tuple(rows), state.removed, behind)


def _no_ring(event: Event | Signal) -> list[Output]:
    if isinstance(event, KeysAsked):
        return [Reply(event.request, Conflict("no_key_ring", "this peer's key is no key of its own; start it with a mesh key"))]
    return []


def _named(state: RingState, fingerprint: str) -> HeldKey:
    held = state.find(fingerprint)
    if held is None:
        raise NotFound("no_such_key", f"no key {fingerprint[:32]!r} in the ring; see the list")
    return held


def _names(peers: Iterable[PeerId]) -> str:
    shown = [peer[:8] for peer in peers]
    more = f" and {len(shown) - PEERS_NAMED} more" if len(shown) > PEERS_NAMED else ""
    return f"{'peers' if len(shown) > 1 else 'peer'} {', '.join(shown[:PEERS_NAMED])}{more}"


def _uses(held: KeysHeld | None, state: RingState) -> bool:
    return held is not None and held.used >= state.used and state.primary.fingerprint in held.keys


def _agrees(held: KeysHeld | None, state: RingState) -> bool:
    return held is not None and held.keys == state.fingerprints and held.used == state.used


def _is_behind(held: KeysHeld, state: RingState) -> bool:
    """Whether it may lack an order (not a key, which is given): a register, or a removal."""
    return held.used < state.used or any(name in state.removed for name in held.keys)
