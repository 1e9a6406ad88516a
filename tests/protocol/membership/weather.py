"""A mesh in bad weather: packets of datagrams and streams are lost alike, and processes stall as on a busy machine.

Streams are what TCP makes of such a network: a connection per pair that is kept while it is used, opened with retransmitted
SYNs, and messages that come late, in order, rather than not at all. Datagrams are handed over as they are, neither encoded nor
sealed, so that hours of a mesh fit in minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocol.effects import SendDatagram, SendStream
from protocol.events import DatagramReceived, LoopLagged, StreamFailed, StreamReceived
from protocol.ids import Address
from protocol.limits import CONNECT_S, OUTBOX_IDLE_S, POST_BASE_S
from tests.protocol.membership.mesh import Mesh, Peer, address

SYN_S = 1.0  # the first wait of TCP before it asks again; each further one is twice as long (RFC 6298)
RTO_S = 0.2  # the same on a connection whose round trip is known (Linux's least)
HANDSHAKES = 2  # further round trips before the first request: TLS
TRIP_S = 0.001
SALT = b"s" * 16  # one of all: every datagram counts as fresh


@dataclass
class _Lane:
    """One peer's urgent messages to another: one request at a time, those that wait go together in the next."""

    waiting: list[SendStream]
    busy: bool = False
    open_until_s: float = float("-inf")


class Weather(Mesh):
    """`stall_every_s` is the mean time between two stalls of one process, each of up to `stall_s_max`."""

    def __init__(self, *, seed: int = 1, stall_every_s: float = 0.0, stall_s_max: float = 0.0, **options: Any) -> None:
        super().__init__(seed=seed, **options)
        self.stall_every_s = stall_every_s
        self.stall_s_max = stall_s_max
        self.record = False
        self._numbers: dict[str, int] = {}
        self._lanes: dict[tuple[int, int], _Lane] = {}

    def start(self, number: int, **options: Any) -> Peer:
        self._numbers[address(number).host] = number
        peer = super().start(number, **options)
        if self.stall_every_s:
            self._stall_later(peer)
        return peer

    def _stall_later(self, peer: Peer) -> None:
        def stall() -> None:
            if self.peers.get(peer.number) is peer and peer.state == "up":
                seconds = self.random.uniform(0, self.stall_s_max)
                self.freeze(peer.number, seconds)
                self.happened["stalls"] += 1
                self.later(seconds + 0.001, lambda: self._feed(peer, LoopLagged(seconds)))
                self._stall_later(peer)

        self.later(self.random.expovariate(1 / self.stall_every_s), stall)

    def _at(self, where: Address) -> Peer | None:
        number = self._numbers.get(where.host)
        return None if number is None else self.peers[number]

    # ---- datagrams ---------------------------------------------------------------------------------------------

    def _send_datagram(self, sender: Peer, effect: SendDatagram) -> None:
        receiver = self._at(effect.address)
        if receiver is None or self.drops(sender.number, receiver.number, "datagram") or self.random.random() < self.loss:
            return
        event = DatagramReceived(sender.swim.me().peer, address(sender.number), True, effect.messages, SALT)
        self.later(self.random.uniform(0.0005, 0.002), lambda: self._feed(receiver, event))

    # ---- streams -----------------------------------------------------------------------------------------------

    def _send_stream(self, sender: Peer, effect: SendStream) -> None:
        receiver = self._at(effect.address)
        if receiver is None:
            super()._send_stream(sender, effect)
            return
        lane = self._lanes.setdefault((sender.number, receiver.number), _Lane([]))
        lane.waiting.append(effect)
        if not lane.busy:
            self._post(sender, receiver, lane)

    def _post(self, sender: Peer, receiver: Peer, lane: _Lane) -> None:
        """Everything that waits, in one request; the next one follows its answer."""
        batch, lane.waiting, lane.busy = lane.waiting, [], True
        refused = receiver.state == "killed"
        cut = receiver.state == "silent" or self.drops(sender.number, receiver.number, "stream")
        connected_s = 0.0 if lane.open_until_s >= self.now_s else self._connecting_s()
        if refused and not cut:
            self.later(min(CONNECT_S, connected_s), lambda: self._over(sender, receiver, lane, batch, failed=True, refused=True))
        elif cut or connected_s > CONNECT_S:
            self.happened["streams not connected"] += 1
            self.later(CONNECT_S, lambda: self._over(sender, receiver, lane, batch, failed=True, refused=False))
        else:
            there_s = connected_s + self._one_way_s()
            back_s = there_s + self._one_way_s()
            for effect in batch:
                event = StreamReceived(sender.swim.me().peer, effect.message)
                self.later(there_s, lambda event=event: self._feed(receiver, event))  # type: ignore[misc]
            failed = back_s > POST_BASE_S
            self.later(min(back_s, POST_BASE_S), lambda: self._over(sender, receiver, lane, batch, failed=failed, refused=False))

    def _over(self, sender: Peer, receiver: Peer, lane: _Lane, batch: list[SendStream], *, failed: bool, refused: bool) -> None:
        lane.open_until_s = float("-inf") if failed else self.now_s + OUTBOX_IDLE_S
        lane.busy = False
        for effect in batch if failed else ():
            self._feed(sender, StreamFailed(effect.peer, effect.message, refused=refused))
        if lane.waiting:
            self._post(sender, receiver, lane)

    def _connecting_s(self) -> float:
        """Until a connection stands: SYN and its answer, then the round trips of TLS."""
        waited_s, wait_s, rto_s = 0.0, SYN_S, RTO_S
        while self._lost() or self._lost():
            waited_s, wait_s, rto_s = waited_s + wait_s, 2 * wait_s, SYN_S
            if waited_s > CONNECT_S:
                return waited_s
        return waited_s + TRIP_S + sum(self._one_way_s(rto_s) for _ in range(2 * HANDSHAKES))

    def _one_way_s(self, rto_s: float = RTO_S) -> float:
        """Until a segment has arrived, sent again at doubling distances."""
        waited_s = TRIP_S
        while self._lost():
            waited_s, rto_s = waited_s + rto_s, 2 * rto_s
        return waited_s

    def _lost(self) -> bool:
        return self.random.random() < self.loss
