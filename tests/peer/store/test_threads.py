"""Cancellation waits for what cannot be taken back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from peer.store.threads import Threads, uninterrupted


async def test_a_cancelled_caller_waits_for_the_thread():
    threads = Threads()
    entered, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        entered.set()
        assert go_on.wait(10)
        done.append("worked")

    task = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(entered.wait, 10)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["worked"]
    threads.close()


async def test_results_and_errors_come_back():
    threads = Threads()
    assert await threads.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 7, 0)
    threads.close()


async def test_an_error_after_a_cancellation_is_not_lost_noise():
    """The caller is gone: it gets its cancellation, and nobody complains of an exception never looked at."""
    begun = asyncio.Event()

    async def fail() -> None:
        begun.set()
        await asyncio.sleep(0)
        raise ValueError("late")

    task = asyncio.create_task(uninterrupted(fail()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
