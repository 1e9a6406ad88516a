"""Small files of a form on their way into the store, many at a time: one by one each would wait twice for the disk.

Decides how many are held in memory. Refuses to know how a form is read.
"""

from __future__ import annotations

from peer.ports import Blobs
from protocol import limits
from protocol.jobs.manifest import ManifestEntry


class SmallFiles:
    """Invariant: at most `limits.SMALL_FILES_MAX` files and `SMALL_FILES_BYTES_MAX` bytes are held; after `settle` none is."""

    def __init__(self, blobs: Blobs, entries: list[ManifestEntry]) -> None:
        """What was taken is appended to `entries`."""
        self._blobs = blobs
        self._entries = entries
        self._held: list[tuple[str, bytes]] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    async def add(self, name: str, data: bytes) -> None:
        """Hold a file; take all that are held when they are many. Raises `StoreFull`, `StoreBroken`."""
        self._held.append((name, data))
        self._bytes += len(data)
        if len(self._held) >= limits.SMALL_FILES_MAX or self._bytes >= limits.SMALL_FILES_BYTES_MAX:
            await self.settle()

    async def settle(self) -> None:
        """Take what is held; it is durable then. Raises `StoreFull`, `StoreBroken`."""
        held, self._held, self._bytes = self._held, [], 0
        taken = await self._blobs.take_many([data for _, data in held]) if held else []
        self._entries += [ManifestEntry(name, *blob) for (name, _), blob in zip(held, taken, strict=True)]
