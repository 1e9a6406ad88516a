"""A bell: many wait for the next change, one rings it.

Decides nothing. What has changed is looked up by whoever wakes; a ring without a change costs a look.
"""

from __future__ import annotations

import asyncio


class Bell:
    """Invariants: `wait` returns after the next `ring` with another value than the last; once closed it never waits."""

    def __init__(self) -> None:
        self._value: int | None = None
        self._rung = asyncio.Event()
        self.closed = False

    def ring(self, value: int) -> None:
        """Wake everyone when `value` is another than the last time."""
        if value != self._value:
            self._value = value
            self._wake()

    def close(self) -> None:
        """Nothing more will change: let everyone go."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()

    async def wait(self, timeout_s: float) -> None:
        """Until the next ring, at most `timeout_s`. Look again before waiting again: nothing else runs in between."""
        if self.closed:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        except TimeoutError:
            return
