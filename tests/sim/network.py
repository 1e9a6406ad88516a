"""The wires between hosts: datagrams may be lost, doubled, late and out of order; streams are ordered, at most once.

A stream that breaks may have delivered its message all the same: the sender is told of a failure, and the receiver acts.
Every message passes through the real codec, every datagram through the real seal (both can be left out for speed).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from protocol.errors import Malformed
from protocol.wire.codec import decode, decode_many, encode, encode_many
from protocol.wire.seal import MeshKey
from tests.sim.faults import Faults

KEY = MeshKey(bytes(range(16)), bytes(range(32)))
LATENCY_S = (0.0005, 0.01)
LATE_S = 0.5
BREAK_S = 2.0  # until a sender notices that its stream leads nowhere


@dataclass(slots=True)
class Delivery:
    """What becomes of one stream message: when it arrives (None: never), and when the sender hears of a failure."""

    arrives_at: float | None
    fails_at: float | None
    refused: bool = False


@dataclass(slots=True)
class Network:
    """Invariant: without faults everything arrives, once, in order. `blocked` are directed pairs of hosts."""

    random: Random
    faults: Faults
    blocked: dict[tuple[int, int], None] = field(default_factory=dict)
    _last: dict[tuple[int, int], float] = field(default_factory=dict)
    _troubled: dict[tuple[int, int], float] = field(default_factory=dict)  # when each pair last had trouble

    def block(self, pairs: list[tuple[int, int]]) -> None:
        """Nothing goes from the one to the other of these."""
        self.blocked.update(dict.fromkeys(pairs))

    def unblock(self, pairs: list[tuple[int, int]], at: float) -> None:
        """It goes again."""
        for pair in pairs:
            self.blocked.pop(pair, None)
            self.trouble(*pair, at)

    def trouble(self, source: int, target: int, at: float) -> None:
        """Something between these two was cut off or lost."""
        self._troubled[source, target] = self._troubled[target, source] = at

    def calm_since(self, one: int, other: int) -> float:
        """When the last trouble on the streams between two hosts was; infinite while they are cut off."""
        if (one, other) in self.blocked or (other, one) in self.blocked:
            return float("inf")
        return self._troubled.get((one, other), float("-inf"))

    def latency(self) -> float:
        return self.random.uniform(*LATENCY_S)

    def is_open(self, source: int, target: int) -> bool:
        return (source, target) not in self.blocked

    def datagram(self, source: int, target: int, at: float) -> tuple[list[float], str]:
        """When the copies of one datagram arrive, and what happened to it."""
        if not self.is_open(source, target):
            return [], "blocked"
        if self.random.random() < self.faults.loss:
            return [], "lost"
        arrivals = [at + self.latency()]
        what = ""
        if self.random.random() < self.faults.reorder:
            arrivals[0] += self.random.uniform(0, LATE_S)
            what = "late"
        if self.random.random() < self.faults.duplicate:
            arrivals.append(arrivals[0] + self.random.uniform(0, LATE_S))
            what = "doubled"
        return arrivals, what

    def stream(self, source: int, target: int, at: float, *, is_up: bool) -> Delivery:
        """What becomes of a message handed to a stream now; the receiver may still die before it arrives."""
        there, back = self.is_open(source, target), self.is_open(target, source)
        if not (there and back):
            arrives = at + self.latency() if there and self.random.random() < 0.2 else None
            return Delivery(arrives, at + BREAK_S)
        if not is_up:
            return Delivery(None, at + self.latency(), refused=True)
        arrives = max(at + self.latency(), self._last.get((source, target), 0.0))
        if self.random.random() < self.faults.stream_break:
            return Delivery(arrives if self.random.random() < 0.5 else None, arrives + BREAK_S / 2)
        self._last[source, target] = arrives
        return Delivery(arrives, None)

    def forget(self, host: int) -> None:
        """The host's connections are gone."""
        self._last = {pair: at for pair, at in self._last.items() if host not in pair}


def wire_stream(message: Any) -> bytes:
    """The message as bytes."""
    return encode(message)


def read_stream(data: bytes) -> Any:
    """Bytes of our own codec always read back."""
    return decode(data)


def wire_datagram(messages: tuple[Any, ...]) -> bytes:
    """The inside of a datagram."""
    return encode_many(messages)


def read_datagram(data: bytes) -> tuple[Any, ...]:
    """Raises `Malformed` when a part of our own making cannot be read."""
    messages, bad = decode_many(data)
    if bad:
        raise Malformed(f"{bad} parts of a datagram of our own")
    return messages
