"""How many frames one lease holds: sized by time, not by count."""

from __future__ import annotations

from collections import deque
from math import ceil
from statistics import median

from protocol import limits
from protocol.ids import PeerId

SAMPLES_KEPT = 15


class FrameTimes:
    """Seconds per frame of one job, per peer: the median of the last samples (robust against stragglers)."""

    def __init__(self) -> None:
        self._samples: dict[PeerId, deque[float]] = {}

    def add(self, peer: PeerId, seconds: float) -> None:
        """One frame took this long on `peer`."""
        self._samples.setdefault(peer, deque(maxlen=SAMPLES_KEPT)).append(max(seconds, 1e-4))

    def of(self, peer: PeerId) -> float | None:
        """Median seconds per frame of one peer, None before its first frame."""
        samples = self._samples.get(peer)
        return median(samples) if samples else None

    def typical(self) -> float | None:
        """Median over the peers, None before the first frame."""
        return median(median(samples) for samples in self._samples.values()) if self._samples else None

    def speed(self, peer: PeerId) -> float | None:
        """Frames per second of one slot; a peer not yet measured is taken as typical."""
        seconds = self.of(peer) or self.typical()
        return None if seconds is None else 1.0 / seconds


def batch_size(*, remaining: int, own: float | None, total: float, measured: bool) -> int:
    """min(30 s of work, half of this slot's fair share of what remains), at least one frame.

    `own` and `total` are frames per second of the asking slot and of all slots together. A peer that has not been
    measured on this job gets one frame.
    """
    if own is None or not measured:
        return 1
    share = ceil(remaining * own / (2 * max(total, own)))
    return max(1, min(int(limits.BATCH_SECONDS_MAX * own), share, limits.FRAMES_PER_BATCH_MAX))
