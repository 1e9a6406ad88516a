"""The scrubber: walks the blobs slowly, for ever, and hashes each again, so that a copy that rots is found before it is needed.

Decides the pace alone. What a damaged copy leads to is the index's (`FolderBlobs` drops it and says so), and its owner's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from peer.ports import Corrupt
from peer.store.blobs import FolderBlobs
from protocol import limits
from protocol.errors import NotFound

_log = structlog.get_logger("rendermesh")


@dataclass(frozen=True, slots=True)
class ScrubOptions:
    """At most `bytes_per_s` are read; `round_s` lie between the end of one walk and the begin of the next."""

    bytes_per_s: float = limits.SCRUB_BYTES_PER_S
    round_s: float = limits.SCRUB_ROUND_S


class Scrubber:
    """Invariant: one blob at a time is read; a blob that comes or goes during a walk is no error."""

    def __init__(
        self, blobs: FolderBlobs, options: ScrubOptions = ScrubOptions(), *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._blobs = blobs
        self._options = options
        self._sleep = sleep
        self.rounds = 0
        self.found = 0

    async def run(self) -> None:
        """Until cancelled. First of all the cache is brought to its limit, which may have been lowered since the last run."""
        await self._blobs.trim()
        while True:
            await self._sleep(self._options.round_s)
            await self.walk()

    async def walk(self) -> None:
        """Every blob once."""
        async for digest in self._blobs.walk():
            try:
                await self._blobs.check(digest, pause=self._pause)
            except NotFound:
                continue
            except Corrupt as fault:
                self.found += 1
                _log.error("blob_damaged", digest=digest, reason=str(fault))
        self.rounds += 1

    async def _pause(self, size: int) -> None:
        await self._sleep(size / self._options.bytes_per_s)
