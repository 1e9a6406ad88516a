"""Waiting for peers that are busy or gone: as long as they ask, within bounds, said on the way.

Decides when waiting is over. stamina does the loop; it is imported only when something must be waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import stamina
from stamina.instrumentation import set_on_retry_hooks

from peer.cli import bounds
from peer.cli.failures import Busy, Unreachable

T = TypeVar("T")


def wait_s(error: Exception, *, insists: bool = False) -> float | None:
    """Seconds to wait before the next try, or None when there is to be none: a peer asks for more than we wait, or nobody
    answers a request that does not insist."""
    if isinstance(error, Unreachable):
        return bounds.DOWN_WAIT_S if insists else None
    if not isinstance(error, Busy):
        return None
    if error.retry_after_s is None:
        return bounds.BUSY_WAIT_S
    return error.retry_after_s if error.retry_after_s <= bounds.BUSY_WAIT_MAX_S else None


def try_again(first: Busy | Unreachable, once: Callable[[], T], say: Callable[[str], None], *, insists: bool = False) -> T:
    """Call `once` again after `first` until it is answered. Raises the last error at the end of patience.

    Who `insists` counts no attempts, only time, and goes on when nobody answers at all."""
    set_on_retry_hooks([])  # its own log lines would repeat ours

    def pause(error: Exception) -> bool | float:
        wait = wait_s(error, insists=insists)
        if wait is None:
            return False
        say(f"{error}; trying again in {wait:g} s")
        if isinstance(error, Unreachable):
            error.begun = True
        return wait

    pending: Busy | Unreachable | None = first
    attempts = None if insists else bounds.BUSY_ATTEMPTS_MAX
    for attempt in stamina.retry_context(on=pause, attempts=attempts, timeout=bounds.BUSY_TOTAL_S):
        with attempt:
            if pending is not None:
                known, pending = pending, None
                raise known
            return once()
    raise first
