"""Waiting in tests: for a condition, with a limit, never for a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

POLL_S = 0.01
PATIENCE_S = 60.0  # far more than any wait takes, so that a busy machine fails no test


async def wait_until(predicate: Callable[[], object | Awaitable[object]], timeout_s: float = PATIENCE_S) -> None:
    """Return once `predicate()` (plain or async) is true; fail with its source when `timeout_s` has passed."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await _value(predicate):  # noqa: ASYNC110 - a condition has no event of its own
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise AssertionError(f"not true within {timeout_s:g} s: {_text(predicate)}") from None


async def _value(predicate: Callable[[], object | Awaitable[object]]) -> object:
    value = predicate()
    return await value if inspect.isawaitable(value) else value


def _text(predicate: Callable[[], object]) -> str:
    try:
        return inspect.getsource(predicate).strip()
    except (OSError, TypeError):
        return repr(predicate)
