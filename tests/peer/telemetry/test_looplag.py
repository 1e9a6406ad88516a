"""The gap between the promised and the real end of a sleep."""

from __future__ import annotations

import asyncio

import pytest

from peer.telemetry.looplag import watch_loop_lag
from tests.waiting import wait_until


class Sleeper:
    """A clock whose sleeps take as long as the test says, then end the watch."""

    def __init__(self, *late_by_s: float) -> None:
        self.now = 50.0
        self._late_by_s = list(late_by_s)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        if not self._late_by_s:
            raise asyncio.CancelledError
        self.now += seconds + self._late_by_s.pop(0)


async def lags(*late_by_s: float) -> list[float]:
    sleeper = Sleeper(*late_by_s)
    seen: list[float] = []
    with pytest.raises(asyncio.CancelledError):
        await watch_loop_lag(seen.append, interval_s=0.5, clock=sleeper.clock, sleep=sleeper.sleep)
    return seen


async def test_a_late_wake_up_is_reported_in_seconds():
    assert await lags(0.0, 0.25, 2.0) == [0.0, 0.25, 2.0]


async def test_an_early_wake_up_is_no_negative_lag():
    assert await lags(-0.125) == [0.0]


async def test_it_runs_in_a_task_group_on_the_real_loop_until_cancelled():
    seen: list[float] = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch_loop_lag(seen.append, interval_s=0.001))
        await wait_until(lambda: len(seen) >= 3)
        task.cancel()
    assert task.cancelled()
    assert all(lag >= 0 for lag in seen)
