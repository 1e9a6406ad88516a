"""A few peers in virtual time, on a network that can be cut: real codec and seal, one heap, one seed."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from protocol import limits
from protocol.effects import BelieveSalt, Notice, Persist, Reply, SendDatagram, SendStream, SendToSeed
from protocol.events import Booted, DatagramReceived, SeedsFound, StreamFailed, StreamReceived
from protocol.ids import Address, PeerId
from protocol.kernel import Now
from protocol.membership.options import LAN, SwimOptions
from protocol.membership.swim import Swim
from protocol.records import DropValue, PutValue
from protocol.signals import MemberChanged, MemberForgotten
from protocol.wire import codec
from protocol.wire.seal import Dropped, KeyRing, MeshKey, Opener, Sealer

KEY = MeshKey(b"i" * 16, b"k" * 32)
STREAM_TIMEOUT_S = 2.0


def peer_id(number: int) -> PeerId:
    return PeerId(f"{number:02x}" * 32)


def address(number: int) -> Address:
    return Address(f"10.0.{number // 250}.{number % 250 + 1}", 7_000)


@dataclass
class Peer:
    """One process. `state`: up, killed (its host refuses) or silent (its host is gone)."""

    number: int
    swim: Swim
    sealer: Sealer
    opener: Opener
    ring: KeyRing
    state: str = "up"
    frozen_until_s: float = 0.0
    notices: list[Notice] = field(default_factory=list)
    replies: list[Any] = field(default_factory=list)
    changes: list[MemberChanged] = field(default_factory=list)
    values: dict[str, bytes] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    bytes_sent: int = 0
    largest: int = 0

    def sees(self, number: int) -> str:
        """The state in which this peer holds another, or 'unknown'."""
        return next((view.state for view in self.swim.members() if view.peer == peer_id(number)), "unknown")


class Mesh:
    """The world. `drops(sender, receiver, kind)` decides on each datagram and stream, by number."""

    def __init__(self, *, seed: int = 1, options: SwimOptions = LAN) -> None:
        self.random = Random(seed)
        self.options = options
        self.now_s = 1_000.0
        self.peers: dict[int, Peer] = {}
        self.drops: Callable[[int, int, str], bool] = lambda sender, receiver, kind: False
        self.loss = 0.0
        self.duplicates = 0.0
        self.reordered = 0.0
        self.happened: Counter[str] = Counter()
        self.record = True
        self.recorded: list[tuple[float, int, int, bytes]] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._armed: dict[int, float] = {}

    # ---- peers -------------------------------------------------------------------------------------------------

    def start(self, number: int, *, seeds: list[int] | None = None, key: MeshKey = KEY, **changes: Any) -> Peer:
        """Start a process, or start it again: with a later run epoch, another salt, the values that its disk holds."""
        before = self.peers.get(number)
        epoch = changes.pop("run_epoch", 1 + (0 if before is None else before.swim.me().run_epoch))
        ring = KeyRing(key)
        who = changes.pop("me", peer_id(number))
        swim = Swim(
            me=who,
            address=address(number),
            mesh_port=7_001,
            run_epoch=epoch,
            nonce=self.random.randbytes(8),
            meta=b"meta",
            options=self.options,
            random=Random(self.random.getrandbits(64)),
            token=lambda: self.random.getrandbits(64),
        )
        peer = Peer(number, swim, Sealer(ring, who, self.random.randbytes(16)), Opener(ring), ring)
        peer.values = {} if before is None else dict(before.values)
        self.peers[number] = peer
        self._feed(peer, Booted((), dict(peer.values)))
        if seeds is not None:
            self._feed(peer, SeedsFound(tuple(address(seed) for seed in seeds)))
        return peer

    def start_many(self, count: int, *, settle_s: float = 20.0) -> Mesh:
        """Peers 0 to count - 1, all seeded with the first."""
        for number in range(count):
            self.start(number, seeds=[0])
        return self.run(settle_s)

    def kill(self, number: int) -> None:
        """kill -9: the host is up and refuses connections."""
        self.peers[number].state = "killed"

    def silence(self, number: int) -> None:
        """The host is gone."""
        self.peers[number].state = "silent"

    def freeze(self, number: int, seconds: float) -> None:
        """SIGSTOP: everything waits until it goes on."""
        self.peers[number].frozen_until_s = self.now_s + seconds

    def feed(self, number: int, event: Any) -> None:
        """An event from the peer's own shell."""
        self._feed(self.peers[number], event)

    def views(self, number: int) -> dict[int, str]:
        """How the others that are up see a peer."""
        return {other: peer.sees(number) for other, peer in self.peers.items() if other != number and peer.state == "up"}

    def all_alive(self) -> bool:
        """Everybody that is up sees everybody that is up as alive."""
        up = [number for number, peer in self.peers.items() if peer.state == "up"]
        return all(self.peers[one].sees(other) == "alive" for one in up for other in up)

    # ---- time --------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> Mesh:
        """Let time pass."""
        self.run_until(lambda: False, seconds)
        return self

    def run_until(self, done: Callable[[], bool], seconds: float) -> float | None:
        """Seconds until `done`, checked after each step; None when the time is over first."""
        began_s, end_s = self.now_s, self.now_s + seconds
        while self._heap and self._heap[0][0] <= end_s:
            self.now_s, _, step = heapq.heappop(self._heap)
            step()
            if done():
                return self.now_s - began_s
        self.now_s = end_s
        return None

    def later(self, seconds: float, step: Callable[[], None]) -> None:
        """Do something in a while."""
        self._serial += 1
        heapq.heappush(self._heap, (self.now_s + seconds, self._serial, step))

    # ---- machinery ---------------------------------------------------------------------------------------------

    def _now(self) -> Now:
        return Now(self.now_s, int(self.now_s * 1_000))

    def _feed(self, peer: Peer, event: Any) -> None:
        if peer.state == "up" and self.peers[peer.number] is peer:
            if peer.frozen_until_s > self.now_s:
                self.later(peer.frozen_until_s - self.now_s + 0.001, lambda: self._feed(peer, event))
                return
            self._perform(peer, peer.swim.handle(event, self._now()))

    def _tick(self, peer: Peer, at_s: float) -> None:
        if self.peers.get(peer.number) is not peer or peer.state != "up" or self._armed.get(peer.number) != at_s:
            return
        if peer.frozen_until_s > self.now_s:
            self.later(peer.frozen_until_s - self.now_s, lambda: self._tick(peer, at_s))
            return
        del self._armed[peer.number]
        self._perform(peer, peer.swim.on_deadline(self._now()))

    def _perform(self, peer: Peer, effects: list[Any]) -> None:
        for effect in effects:
            match effect:
                case SendDatagram():
                    self._send_datagram(peer, effect)
                case SendStream():
                    self._send_stream(peer, effect)
                case SendToSeed():
                    self._send_to_seed(peer, effect)
                case BelieveSalt():
                    peer.opener.believe(effect.peer, effect.salt)
                case Persist():
                    peer.values |= {row.key: row.value for row in effect.records if isinstance(row, PutValue)}
                    for row in effect.records:
                        if isinstance(row, DropValue):
                            peer.values.pop(row.key, None)
                case Notice():
                    peer.notices.append(effect)
                    self.happened[effect.event] += 1
                case Reply():
                    peer.replies.append(effect.value)
                case MemberChanged():
                    peer.changes.append(effect)
                case MemberForgotten():
                    self.happened["members forgotten"] += 1
                case _:
                    raise AssertionError(effect)
        due_s = peer.swim.next_deadline()
        if due_s is not None and self._armed.get(peer.number) != due_s:
            self._armed[peer.number] = due_s
            self.later(max(0.0, due_s - self.now_s), lambda: self._tick(peer, due_s))
        elif due_s is None:
            self._armed.pop(peer.number, None)

    def _at(self, where: Address) -> Peer | None:
        return next((peer for peer in self.peers.values() if address(peer.number).host == where.host), None)

    def _send_datagram(self, sender: Peer, effect: SendDatagram) -> None:
        data = sender.sealer.seal(codec.encode_many(effect.messages))
        assert len(data) <= limits.DATAGRAM_BYTES_MAX
        sender.bytes_sent += len(data)
        sender.largest = max(sender.largest, len(data))
        receiver = self._at(effect.address)
        if receiver is None:
            return
        cut = self.drops(sender.number, receiver.number, "datagram")
        if cut or self.random.random() < self.loss:
            self.happened["datagrams cut" if cut else "datagrams lost"] += 1
            return
        if self.record:
            self.recorded.append((self.now_s, sender.number, receiver.number, data))
        copies = 2 if self.random.random() < self.duplicates else 1
        self.happened["datagrams doubled"] += copies - 1
        for _ in range(copies):
            late_s = self.random.uniform(0, 1.0) if self.reordered and self.random.random() < self.reordered else 0.0
            self.happened["datagrams late"] += late_s > 0
            self.later(late_s + self.random.uniform(0.0005, 0.002), lambda: self.deliver(sender.number, receiver, data))

    def deliver(self, sender: int, receiver: Peer, data: bytes) -> None:
        """Bytes arrive at a peer's socket (again, if one likes)."""
        what = receiver.opener.open(data)
        if isinstance(what, Dropped):
            receiver.dropped.append(what)
            self.happened[f"dropped as {what.value}"] += 1
            return
        messages, bad = codec.decode_many(what.payload)
        assert not bad
        self._feed(receiver, DatagramReceived(what.sender, address(sender), what.trusted, messages, what.salt))

    def _send_stream(self, sender: Peer, effect: SendStream) -> None:
        receiver = self._at(effect.address)
        failed = StreamFailed(effect.peer, effect.message, refused=False)
        if receiver is None or self.drops(sender.number, receiver.number, "stream") or receiver.state == "silent":
            self.later(STREAM_TIMEOUT_S, lambda: self._feed(sender, failed))
        elif receiver.state == "killed":
            self.later(0.002, lambda: self._feed(sender, StreamFailed(effect.peer, effect.message, refused=True)))
        else:
            message = codec.decode(codec.encode(effect.message))
            who = sender.swim.me().peer
            self.later(0.003, lambda: self._feed(receiver, StreamReceived(who, message)))

    def _send_to_seed(self, sender: Peer, effect: SendToSeed) -> None:
        receiver = self._at(effect.address)
        if receiver is None or receiver.state != "up" or self.drops(sender.number, receiver.number, "stream"):
            return
        if sender.ring.primary in receiver.ring.keys and receiver.ring.primary in sender.ring.keys:  # TLS
            message, who = codec.decode(codec.encode(effect.message)), sender.swim.me().peer
            self.later(0.003, lambda: self._feed(receiver, StreamReceived(who, message)))
