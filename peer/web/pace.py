"""How slowly a client may send: a budget of seconds that grows with every byte. Pure arithmetic.

Refuses to know sockets and clocks. Only the time spent waiting for the client is charged, never our own disk's.
"""

from __future__ import annotations


class Pace:
    """Invariant: `allowance_s` is what may still be waited; it grows by one second per `bytes_per_s` bytes received."""

    def __init__(self, *, grace_s: float, bytes_per_s: float, total_s: float) -> None:
        self._left_s = grace_s
        self._bytes_per_s = bytes_per_s
        self._total_left_s = total_s

    @property
    def allowance_s(self) -> float:
        """Seconds that the next read may take; 0 when the budget is spent."""
        return max(0.0, min(self._left_s, self._total_left_s))

    def charge(self, *, waited_s: float, received_bytes: int) -> None:
        """Account for one read."""
        self._left_s += received_bytes / self._bytes_per_s - waited_s
        self._total_left_s -= waited_s
