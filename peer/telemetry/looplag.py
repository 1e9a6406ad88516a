"""How late the event loop runs: the gap between when a sleep should have ended and when it did.

Decides nothing about it: the number goes to a callback (a histogram, and the failure detector's health score, which
counts lag over 100 ms against the peer itself instead of accusing others).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

LAG_INTERVAL_S: Final = 0.25


async def watch_loop_lag(
    report: Callable[[float], None],
    *,
    interval_s: float = LAG_INTERVAL_S,
    clock: Callable[[], float] | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Call `report(lag_s)` after every `interval_s` until cancelled: a task for the daemon's TaskGroup.

    `lag_s` is never negative. `clock` is monotonic seconds (default: the running loop's).
    """
    now = asyncio.get_running_loop().time if clock is None else clock
    while True:
        due = now() + interval_s
        await sleep(interval_s)
        report(max(0.0, now() - due))
