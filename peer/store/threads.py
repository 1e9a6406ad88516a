"""Blocking work on a few threads, and the promise that a cancelled caller never leaves it half-watched."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from peer.ports import StoreBroken
from protocol import limits

ResultT = TypeVar("ResultT")
Args = ParamSpec("Args")


async def uninterrupted(work: Awaitable[ResultT]) -> ResultT:
    """Await `work` to its end even when the caller is cancelled; the cancellation is raised afterwards.

    For steps that must not stop in the middle (link, then count): they are short or bounded by the disk."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.cancelled():
            raise
        await _end_of(task)
        if not task.cancelled():
            task.exception()  # seen: the caller that wanted to know is gone
        raise


async def _end_of(task: asyncio.Future[ResultT]) -> None:
    """Wait for it, whoever cancels meanwhile."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])


async def all_of(works: Sequence[Awaitable[ResultT]]) -> list[ResultT]:
    """Await all of them, to the end of the last; then their results, or the first one's error."""
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


class Threads:
    """A pool of our own, so that disk work never waits behind name look-ups in the loop's default pool."""

    def __init__(self, threads_max: int = limits.STORE_THREADS_MAX, *, on_broken: Callable[[str], None] = lambda _: None) -> None:
        """`on_broken` is told the text of each `StoreBroken`, before the caller is."""
        self._on_broken = on_broken
        self._pool = ThreadPoolExecutor(threads_max, thread_name_prefix="store")

    async def run(self, work: Callable[Args, ResultT], /, *args: Args.args, **kwargs: Args.kwargs) -> ResultT:
        """`work(*args)` on a thread; returns or raises only when the thread is done with it, also under cancellation."""
        loop = asyncio.get_running_loop()
        try:
            return await uninterrupted(loop.run_in_executor(self._pool, lambda: work(*args, **kwargs)))
        except StoreBroken as fault:
            self._on_broken(str(fault))
            raise

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        self._pool.shutdown(wait=True)
