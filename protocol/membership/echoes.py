"""Random sequences that are out, waiting for their echo: the proof that a datagram is fresh.

Decides which acknowledgement answers which question of ours. Refuses to know what an answer leads to, and draws nothing:
the sequences are handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protocol import limits
from protocol.ids import Address, PeerId

Purpose = Literal["probe", "relay", "join", "prove", "heal", "ping"]


@dataclass(frozen=True, slots=True)
class Awaited:
    """One question. `peers` may answer it (none named: anybody); `address` is the seed that a join was sent to."""

    purpose: Purpose
    peers: tuple[PeerId, ...]
    expires_s: float
    address: Address | None = None


class Echoes:
    """Invariant: at most `limits.ECHOES_AWAITED_MAX` sequences, the oldest forgotten first."""

    def __init__(self) -> None:
        self._awaited: dict[int, Awaited] = {}

    def __len__(self) -> int:
        return len(self._awaited)

    def expect(self, seq: int, awaited: Awaited) -> None:
        """Remember that `seq` is out (again, with other peers that may answer)."""
        self._awaited[seq] = awaited
        if len(self._awaited) > limits.ECHOES_AWAITED_MAX:
            del self._awaited[next(iter(self._awaited))]

    def find(self, seq: int, sender: PeerId, now_s: float) -> Awaited | None:
        """The question that `sender` answers with `seq`, or None for late, foreign and unknown ones."""
        awaited = self._awaited.get(seq)
        if awaited is None or now_s > awaited.expires_s or (awaited.peers and sender not in awaited.peers):
            return None
        return awaited

    def mine(self, seq: int) -> Awaited | None:
        """The question that went out under `seq`, whoever sends it back."""
        return self._awaited.get(seq)

    def forget(self, seq: int) -> None:
        """No answer is expected any more."""
        self._awaited.pop(seq, None)
