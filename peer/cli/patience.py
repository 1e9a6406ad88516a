"""Waiting for a busy peer: as long as it asks, within bounds, said on the way.

Decides when waiting is over. stamina does the loop; it is imported only when a peer was busy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import stamina
from stamina.instrumentation import set_on_retry_hooks

from peer.cli import bounds
from peer.cli.failures import Busy

T = TypeVar("T")


def wait_s(busy: Busy) -> float | None:
    """Seconds to wait before the next try, or None when the peer asks for more than we wait."""
    if busy.retry_after_s is None:
        return bounds.BUSY_WAIT_S
    return busy.retry_after_s if busy.retry_after_s <= bounds.BUSY_WAIT_MAX_S else None


def try_again(first: Busy, once: Callable[[], T], say: Callable[[str], None]) -> T:
    """Call `once` again after `first` until it is not busy. Raises the last `Busy` at the end of patience."""
    set_on_retry_hooks([])  # its own log lines would repeat ours

    def pause(error: Exception) -> bool | float:
        wait = wait_s(error) if isinstance(error, Busy) else None
        if wait is None:
            return False
        say(f"{error}; trying again in {wait:g} s")
        return wait

    pending: Busy | None = first
    for attempt in stamina.retry_context(on=pause, attempts=bounds.BUSY_ATTEMPTS_MAX, timeout=bounds.BUSY_TOTAL_S):
        with attempt:
            if pending is not None:
                known, pending = pending, None
                raise known
            return once()
    raise first
