"""A host's clocks: a monotonic one that starts anywhere and drifts, and a wall clock that is wrong and jumps."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.kernel import Now

START_MS = 1_700_000_000_000


@dataclass(slots=True)
class Clock:
    """Maps world seconds to what one host reads. Invariant: the monotonic reading never falls, whatever the wall does."""

    offset_s: float = 0.0
    rate: float = 1.0
    skew_ms: int = 0

    def now(self, world_s: float) -> Now:
        """What the host's clocks show."""
        monotonic_s = self.offset_s + world_s * self.rate
        return Now(monotonic_s, START_MS + self.skew_ms + int(monotonic_s * 1000))

    def when(self, monotonic_s: float) -> float:
        """The world second at which the monotonic clock shows `monotonic_s`."""
        return (monotonic_s - self.offset_s) / self.rate

    def jump(self, ms: int) -> None:
        """Somebody sets the wall clock."""
        self.skew_ms += ms
