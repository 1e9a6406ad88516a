"""What is here and what must stay: the files, the pins and the order of use taken together.

Decides whether a blob is here (its file is, and no step that brings or removes it is under way) and when it is free to go.
Refuses to move bytes. A pinned blob costs no memory: its file is looked for when somebody asks, its pin is a row.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from typing import Final

from peer.ports import StoreBroken, StoreFull
from peer.store.cache import CacheIndex
from peer.store.layout import SHARDS, BlobFolders
from peer.store.pins import Pins
from peer.store.threads import Threads, uninterrupted
from protocol.ids import Digest

SHARDS_AT_ONCE: Final = 8  # of a start: a few pins in memory, and not many questions


class Stock:
    """Invariants: a blob is linked or removed only under its shard's lock; one that `index` may let go is asked for among the
    pins first, so that what is pinned stays, whatever `index` believes."""

    def __init__(self, folders: BlobFolders, pins: Pins, index: CacheIndex, threads: Threads) -> None:
        """Read what the folders hold, shard by shard; blocks."""
        self._folders = folders
        self._pins = pins
        self._threads = threads
        self.index = index
        self._locks = [asyncio.Lock() for _ in range(SHARDS)]
        self._pinning: Counter[Digest] = Counter()  # by calls that are under way
        self._freeing: set[Digest] = set()  # and what others have just unpinned
        free: list[tuple[int, Digest, int]] = []
        for first in range(0, SHARDS, SHARDS_AT_ONCE):
            together = range(first, first + SHARDS_AT_ONCE)
            pinned = pins.load_shards(together[0], together[-1])
            for used_ns, digest, size in (found for number in together for found in folders.scan(number)):
                if digest in pinned:
                    pinned.discard(digest)
                else:
                    free.append((used_ns, digest, size))
            for digest in pinned:
                index.expect(digest)
        for _, digest, size in sorted(free):
            index.add(digest, size, new=True, fresh=False)

    def lock(self, digest: Digest) -> asyncio.Lock:
        """Held while a blob is linked, removed, or looked for."""
        return self._locks[int(digest[:2], 16)]

    async def size(self, digest: Digest) -> int | None:
        """Bytes of the blob, None when it is not here."""
        async with self.lock(digest):
            return (await self._threads.run(self._folders.sizes, [digest])).get(digest)

    async def sizes(self, digests: Iterable[Digest]) -> dict[Digest, int]:
        """Bytes of those that have a file; nobody waits for what is just coming or going."""
        return await self._threads.run(self._folders.sizes, list(digests))

    async def pin(self, owner: str, digests: Sequence[Digest]) -> None:
        """Protect blobs, also such as are not here yet; durable when it returns. Raises what `Pins.add` raises.

        A cancelled call ends first, as one of `unpin` does with the pins that it has begun to take back: else what is here would
        go on being expected, and what is free would not be known to be."""
        await uninterrupted(self._pin(owner, digests))

    async def _pin(self, owner: str, digests: Sequence[Digest]) -> None:
        moved = {digest: self.index.size(digest) for digest in digests if digest in self.index}
        rest = [digest for digest in digests if digest not in moved]
        self._pinning.update(digests)
        self._freeing.difference_update(digests)
        for digest in moved:
            self.index.remove(digest)
        for digest in rest:
            self.index.expect(digest)
        try:
            await self._pins.add(owner, digests)
        except Exception:
            self._settled(digests)
            for digest, size in moved.items():
                self.index.add(digest, size, new=True)
            with suppress(StoreFull, StoreBroken):
                await self._take_back(rest)
            raise
        self._settled(digests)
        for digest in await self.sizes(rest):
            if await self.size(digest) is not None:  # and it is not just leaving
                self.index.unexpect(digest)

    async def unpin(self, owner: str) -> None:
        """Take back all pins of `owner`, some at a time; what nobody else needs may go. Raises what `Pins.drop` raises."""
        while await uninterrupted(self._unpin_some(owner)):
            pass

    async def _unpin_some(self, owner: str) -> bool:
        more, free = await self._pins.drop(owner)
        await self._free(free)
        return more

    async def pinned(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those that must stay by somebody's pin; the index does not offer them any more."""
        found = await self._pins.among(digests)
        for digest in found:
            self.index.remove(digest)
        return found

    async def gone(self, digest: Digest) -> bool:
        """A blob has no file (any more). Whether it was thought to be here; from now on it is not."""
        was_free, was_expected = digest in self.index, self.index.expects(digest)
        self.index.remove(digest)
        is_pinned = bool(await self._pins.among([digest]))
        if is_pinned:
            self.index.expect(digest)
        return was_free or (is_pinned and not was_expected)

    async def walk(self) -> AsyncIterator[Digest]:
        """Every blob that should be here, also one whose file has vanished."""
        for number in range(SHARDS):
            files = {digest for _, digest, _ in await self._threads.run(self._folders.scan, number)}
            pinned = {digest for digest in await self._pins.in_shards(number, number) if not self.index.expects(digest)}
            name = f"{number:02x}"
            free = {digest for digest in self.index.digests() if digest.startswith(name)}
            for digest in sorted(files | pinned | free):
                yield digest

    def _settled(self, digests: Sequence[Digest]) -> None:
        self._pinning.subtract(digests)
        self._pinning += Counter()  # keeps what is above zero

    async def _take_back(self, digests: Sequence[Digest]) -> None:
        """These were expected because of a pin that was not stored; others may have pinned them."""
        pinned = await self._pins.among(digests)
        await self._free([digest for digest in digests if digest not in pinned])
        for digest in await self.sizes(pinned):
            self.index.unexpect(digest)

    async def _free(self, digests: Iterable[Digest]) -> None:
        """Nobody had pinned these when the pins were last asked: those that nobody pins meanwhile either may go."""
        free = {digest for digest in digests if digest not in self._pinning}
        self._freeing |= free
        sizes = await self.sizes(free)
        for digest in free & self._freeing:
            self.index.unexpect(digest)
            if digest in sizes:
                self.index.free(digest, sizes[digest])
        self._freeing -= free
