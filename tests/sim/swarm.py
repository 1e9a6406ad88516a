"""`scripts/simulate --peers 1000` and more: membership alone, at sizes that no box carries as processes.

Starts from a converged mesh whose peers share the rows of their tables (a row of one's own is made when it is looked up to be
changed), counts what goes out while nothing happens, then lets one peer join and one die. Messages are encoded to be counted
and handed over as they are; seal and HTTP are added as constants (`limits.SEAL_BYTES`) or not at all (streams).
"""

from __future__ import annotations

import copy
import heapq
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from protocol import limits
from protocol.effects import BelieveSalt, SendDatagram, SendStream
from protocol.events import Booted, DatagramReceived, SeedsFound, StreamFailed, StreamReceived
from protocol.ids import Address, PeerId
from protocol.kernel import Now
from protocol.membership.broadcasts import Broadcasts
from protocol.membership.members import Member
from protocol.membership.options import LAN
from protocol.membership.swim import Swim
from protocol.membership.sync import scaled_interval
from protocol.signals import MemberChanged, MemberState
from protocol.wire.codec import encode, encoded_size
from protocol.wire.gossip import Alive

PEERS_MIN = 200  # from here on `scripts/simulate` runs this instead of campaigns
QUIET_S = 60.0
WITHIN_S = 120.0
AFTERWARDS_S = 30.0
WALL_S_MAX = 1_800.0
MEMORY_BYTES_MAX = 16 * 2**30
GAVE_UP = 7
_LOOK_EVERY = 100_000  # steps between two looks at clock and memory


def peer_id(number: int) -> PeerId:
    return PeerId(f"{number:064x}")


def address(number: int) -> Address:
    return Address(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 7_000)


def news(number: int) -> Alive:
    """What a peer of the converged mesh has said of itself."""
    return Alive(peer_id(number), 1, 1, bytes(8), address(number), 7_001, bytes(16), (1, 1))


class SharedRows:
    """The `_all` of one peer's `Members`: rows of the mesh it started in, without itself, and its own on top.

    Indexing reads (a shared row, perhaps); `get` is what changes begin with, so it makes the row this peer's own."""

    def __init__(self, shared: dict[PeerId, Member], me: PeerId) -> None:
        self._shared = shared
        self._own: dict[PeerId, Member] = {}
        self._gone: dict[PeerId, None] = {me: None}

    def __len__(self) -> int:
        return len(self._shared) - len(self._gone) + sum(1 for peer in self._own if peer not in self._shared)

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._own or (peer in self._shared and peer not in self._gone)

    def __getitem__(self, peer: PeerId) -> Member:
        return self._own.get(peer) or self._shared[peer]

    def __setitem__(self, peer: PeerId, member: Member) -> None:
        self._own[peer] = member

    def __delitem__(self, peer: PeerId) -> None:
        self._own.pop(peer, None)
        if peer in self._shared:
            self._gone[peer] = None

    def get(self, peer: PeerId) -> Member | None:
        found = self._own.get(peer)
        if found is None and peer in self._shared and peer not in self._gone:
            found = self._own[peer] = copy.copy(self._shared[peer])
        return found

    def values(self) -> Iterator[Member]:
        yield from (self[peer] for peer in self._shared if peer not in self._gone)
        yield from (member for peer, member in self._own.items() if peer not in self._shared)


class SharedPlaces:
    """The `_place` of one peer's `Members`: where each stands in the common order without itself, and what has changed."""

    def __init__(self, places: dict[PeerId, int], mine: int) -> None:
        self._places = places
        self._mine = mine
        self._own: dict[PeerId, int] = {}

    def __setitem__(self, peer: PeerId, place: int) -> None:
        self._own[peer] = place

    def pop(self, peer: PeerId) -> int:
        own = self._own.pop(peer, None)
        if own is not None:
            return own
        place = self._places[peer]
        return place - (place > self._mine)


class SharedNames:
    """The `_known` of one peer's rotation."""

    def __init__(self, shared: dict[PeerId, int]) -> None:
        self._shared = shared
        self._own: dict[PeerId, None] = {}

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._own or peer in self._shared

    def __setitem__(self, peer: PeerId, _: None) -> None:
        self._own[peer] = None


class GaveUp(Exception):
    """Out of time or memory."""


@dataclass(slots=True)
class _Peer:
    number: int
    swim: Swim
    up: bool = True
    armed_s: float = float("inf")
    settled: bool = True  # one of the converged mesh: all such believe each other's salts
    believes: dict[PeerId, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds until the first, the median and the last peer knew, and bytes per peer and second meanwhile."""

    what: str
    known_s: tuple[float, float, float] | None
    datagram_bytes: float
    stream_bytes: float
    over_s: float

    def line(self) -> str:
        known = "" if self.known_s is None else "; known to the first, the median and the last after {:.2f}, {:.2f}, {:.2f} s"
        rates = f"{self.datagram_bytes:,.0f} B/s in datagrams, {self.stream_bytes:,.1f} B/s in streams, over {self.over_s:.1f} s"
        return f"{self.what}: per peer {rates}{known.format(*(self.known_s or ()))}"


class Swarm:
    """Invariant: the same seed and size give the same figures."""

    def __init__(self, count: int, *, seed: int = 1, wall_s_max: float = WALL_S_MAX) -> None:
        self.random = Random(seed)
        self.now_s = 1_000.0
        self.bytes = [0, 0]  # datagrams, streams
        self.peers: dict[PeerId, _Peer] = {}
        self.steps = 0
        self._until = time.monotonic() + wall_s_max
        self._heap: list[tuple[float, int, _Peer, Any]] = []
        self._serial = 0
        self._watched: tuple[PeerId, MemberState] | None = None
        self._known_s: dict[int, float] = {}
        self._hosts: dict[str, _Peer] = {}
        self._settle(count)

    # ---- beginning ---------------------------------------------------------------------------------------------

    def _settle(self, count: int) -> None:
        rows = {peer_id(number): Member(news(number), "alive", 1, 1, self.now_s) for number in range(count)}
        order, places = list(rows), {peer: place for place, peer in enumerate(rows)}
        shuffled = self.random.sample(order, count)
        for number in range(count):
            peer = self._make(number)
            swim, me = peer.swim, peer_id(number)
            members, rotation = swim._ctx.members, swim._prober._rotation
            members._all = SharedRows(rows, me)  # type: ignore[assignment]
            members._place = SharedPlaces(places, number)  # type: ignore[assignment]
            members._up = [*order[:number], *order[number + 1 :]]
            turn = self.random.randrange(count)
            rotation._order = [one for one in (*shuffled[turn:], *shuffled[:turn]) if one != me]
            rotation._known = SharedNames(places)  # type: ignore[assignment]
            self._perform(peer, swim.handle(Booted((), {}), self._now()))
            swim._ctx.broadcasts = Broadcasts()  # everybody has heard of everybody
            interval_s = scaled_interval(swim._ctx.options.sync_interval_s, live=count)
            swim._sync._wait_s, swim._sync._at_s = interval_s, self.now_s + self.random.uniform(0, interval_s)
            self._arm(peer)

    def _make(self, number: int, **changes: Any) -> _Peer:
        swim = Swim(
            me=peer_id(number),
            address=address(number),
            mesh_port=7_001,
            run_epoch=1,
            nonce=bytes(8),
            meta=bytes(16),
            options=LAN,
            random=Random(self.random.getrandbits(64)),
            token=lambda: self.random.getrandbits(64),
        )
        peer = _Peer(number, swim, **changes)
        self.peers[peer_id(number)] = self._hosts[address(number).host] = peer
        return peer

    # ---- what happens ------------------------------------------------------------------------------------------

    def quiet(self, seconds: float = QUIET_S) -> Figures:
        """Let nothing happen."""
        return self._measure("nothing happens", None, seconds)

    def join(self) -> Figures:
        """One more peer, seeded with some other, until everybody holds it alive."""
        number = len(self.peers)
        seed = self.random.randrange(number)
        peer = self._make(number, settled=False)
        self._feed(peer, Booted((), {}))
        self._feed(peer, SeedsFound((address(seed),)))
        return self._measure("one joins", (peer_id(number), "alive"), WITHIN_S)

    def die(self) -> Figures:
        """kill -9 of one: its host refuses. Until everybody holds it dead."""
        victim = self.peers[peer_id(self.random.randrange(len(self.peers) - 1))]
        victim.up = False
        return self._measure("one dies", (peer_id(victim.number), "dead"), WITHIN_S)

    def _measure(self, what: str, watched: tuple[PeerId, MemberState] | None, seconds: float) -> Figures:
        began_s, before = self.now_s, tuple(self.bytes)
        self._watched, self._known_s = watched, {}
        waiting = sum(1 for name, peer in self.peers.items() if peer.up and (watched is None or name != watched[0]))
        self._run(began_s + seconds, (lambda: len(self._known_s) == waiting) if watched is not None else None)
        known = sorted(at_s - began_s for at_s in self._known_s.values())
        if watched is not None and len(known) < waiting:
            raise GaveUp(f"{what}: {waiting - len(known)} of {waiting} peers did not hear of it within {seconds:.0f} s")
        if watched is not None:
            self._run(max(self.now_s, began_s + AFTERWARDS_S), None)  # the talk goes on when all know
        took_s = self.now_s - began_s
        rates = [(now - then) / took_s / len(self.peers) for now, then in zip(self.bytes, before, strict=True)]
        return Figures(what, (known[0], statistics.median(known), known[-1]) if known else None, rates[0], rates[1], took_s)

    # ---- machinery ---------------------------------------------------------------------------------------------

    def _run(self, end_s: float, done: Callable[[], bool] | None) -> None:
        while self._heap and self._heap[0][0] <= end_s:
            self.now_s, _, peer, event = heapq.heappop(self._heap)
            self.steps += 1
            if self.steps % _LOOK_EVERY == 0:
                self._look()
            if event is not None:
                self._feed(peer, event)
            elif peer.up and peer.armed_s == self.now_s:
                peer.armed_s = float("inf")
                self._perform(peer, peer.swim.on_deadline(self._now()))
                self._arm(peer)
            if done is not None and done():
                return
        self.now_s = end_s

    def _look(self) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024
        if time.monotonic() > self._until or used > MEMORY_BYTES_MAX:
            raise GaveUp(f"given up after {self.steps:,} steps with {used / 2**30:.1f} GiB at {self.now_s - 1_000:.1f} virtual s")

    def _now(self) -> Now:
        return Now(self.now_s, 0)

    def _feed(self, peer: _Peer, event: Any) -> None:
        if peer.up:
            if isinstance(event, DatagramReceived) and not event.trusted and event.sender in peer.believes:
                event = DatagramReceived(event.sender, event.source, True, event.messages, event.salt)
            self._perform(peer, peer.swim.handle(event, self._now()))
            self._arm(peer)

    def _arm(self, peer: _Peer) -> None:
        due_s = peer.swim.next_deadline()
        if due_s is not None and max(due_s, self.now_s) < peer.armed_s:
            peer.armed_s = max(due_s, self.now_s)
            self._push(peer.armed_s, peer, None)

    def _push(self, at_s: float, peer: _Peer, event: Any) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (at_s, self._serial, peer, event))

    def _perform(self, peer: _Peer, effects: Sequence[Any]) -> None:
        for effect in effects:
            match effect:
                case SendDatagram():
                    self._send_datagram(peer, effect)
                case SendStream():
                    self._send_stream(peer, effect)
                case BelieveSalt():
                    peer.believes[effect.peer] = None
                case MemberChanged() if self._watched == (effect.peer, effect.state):
                    self._known_s.setdefault(peer.number, self.now_s)

    def _send_datagram(self, sender: _Peer, effect: SendDatagram) -> None:
        self.bytes[0] += limits.SEAL_BYTES + sum(encoded_size(message) for message in effect.messages)
        receiver = self._hosts.get(effect.address.host)
        if receiver is not None and receiver.up:
            trusted = sender.settled and receiver.settled
            where = address(sender.number)
            event = DatagramReceived(peer_id(sender.number), where, trusted, effect.messages, sender.number.to_bytes(16, "big"))
            self._push(self.now_s + self.random.uniform(0.0005, 0.002), receiver, event)

    def _send_stream(self, sender: _Peer, effect: SendStream) -> None:
        receiver = self._hosts.get(effect.address.host)
        if receiver is None or not receiver.up:
            self._push(self.now_s + 0.002, sender, StreamFailed(effect.peer, effect.message, refused=True))
            return
        self.bytes[1] += len(encode(effect.message))
        self._push(self.now_s + 0.003, receiver, StreamReceived(peer_id(sender.number), effect.message))


def main(count: int, *, seed: int = 1) -> int:
    """Run it and print the figures; 0, or `GAVE_UP` when time or memory did not suffice or somebody never heard."""
    began = time.perf_counter()
    try:
        swarm = Swarm(count, seed=seed)
        print(f"{count} peers, converged, after {time.perf_counter() - began:.0f} s", flush=True)
        for act in (swarm.quiet, swarm.join, swarm.die):
            print(act().line(), flush=True)
    except GaveUp as why:
        print(why)
        return GAVE_UP
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{swarm.steps:,} steps, {swarm.now_s - 1_000:.1f} virtual s in {time.perf_counter() - began:.0f} s, {used:.1f} GiB")
    return 0
