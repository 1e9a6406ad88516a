"""Local health: how far this peer may trust its own impatience (Lifeguard, section IV.A).

Decides one number from good and bad signs and how it stretches waits. Refuses to know what the signs are.
"""

from __future__ import annotations


class Awareness:
    """Invariant: 0 <= score <= most; 0 is healthy. Every wait for others is stretched by score + 1."""

    __slots__ = ("_most", "score")

    def __init__(self, most: int) -> None:
        self._most = most
        self.score = 0

    def better(self) -> None:
        """A probe was answered in time."""
        self.score = max(0, self.score - 1)

    def worse(self, by: int = 1) -> None:
        """Signs of our own slowness: missed nacks, a refutation, a late event loop."""
        self.score = min(self._most, self.score + by)

    def scale(self, seconds: float) -> float:
        """`seconds`, stretched by our own ill health."""
        return seconds * (self.score + 1)
