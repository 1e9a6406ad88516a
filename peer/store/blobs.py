"""Content-addressed files in a folder: streamed in, verified, linked into place, read in pieces, evicted when nobody needs them.

Decides when a blob exists (linked under its digest, durable) and which one goes first. Refuses to know what a blob means,
who holds other copies, and how bytes travel between peers.

Coordination lives on the event loop (the index is only touched there), bytes move on threads. A lock per shard folder
keeps "link it" and "evict it" of one digest apart; one lock keeps trees whole.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peer.ports import Corrupt, StoreFull
from peer.store.cache import CacheIndex
from peer.store.disk import disk_faults, free_bytes, remove
from peer.store.incoming import Incoming, Rehash, hash_file
from peer.store.layout import PARTIAL, BlobFolders
from peer.store.pins import Pins
from peer.store.placing import Written, begin, copy_in, disk_full, place, place_all, remove_all, settle, size_of, write_small
from peer.store.reading import Source
from peer.store.stock import Stock
from peer.store.threads import Threads, all_of, uninterrupted
from peer.store.trees import Trees
from protocol import limits
from protocol.errors import Invalid, NotFound
from protocol.ids import Digest, is_hex
from protocol.jobs.manifest import Manifest

CACHE_BYTES_MAX: Final = 20 * 2**30


@dataclass(frozen=True, slots=True)
class BlobOptions:
    """`cache_bytes_max` bounds unpinned blobs; `reserve_bytes` stay free on the disk; `grace_s` is the time to pin."""

    cache_bytes_max: int = CACHE_BYTES_MAX
    reserve_bytes: int = limits.STORE_RESERVE_BYTES
    grace_s: float = limits.BLOB_GRACE_S


class FolderBlobs:
    """Satisfies `peer.ports.Blobs`. Invariants: a file under a digest's name had these bytes, durably, when it got the
    name; pinned, used and fresh blobs are never evicted; a laid-out scene lives as long as one of its blobs is protected.

    Pin first, then ask `has`: what was there when the pin returned stays there."""

    def __init__(
        self, folders: BlobFolders, pins: Pins, options: BlobOptions, *, clock: Callable[[], float] = time.monotonic,
        on_broken: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """Read what the (prepared) folders hold; blocks. `on_broken` is told when the disk has failed."""
        self._folders = folders
        self._options = options
        self._threads = Threads(on_broken=on_broken)
        self._sync_threads = Threads(limits.SMALL_FILE_THREADS, on_broken=on_broken)
        self._trees = Trees(folders.trees, scratch=folders.scratch)
        self._index = CacheIndex(grace_s=options.grace_s, clock=clock)
        self._stock = Stock(folders, pins, self._index, self._threads)
        self._tree_lock = asyncio.Lock()
        self._resuming: set[Digest] = set()
        self._leaving: set[Digest] = set()
        self._serial = 0
        self.on_lost: Callable[[Digest], None] = lambda _: None
        """Told of each copy that was found damaged or gone, after it was dropped."""

    # ---- asking --------------------------------------------------------------------------------------------------

    @property
    def cached_bytes(self) -> int:
        """Bytes of all unpinned blobs."""
        return self._index.cached_bytes

    async def has(self, digest: Digest) -> bool:
        """Whether the blob is here."""
        return await self.size(digest) is not None

    async def missing(self, digests: Sequence[Digest]) -> list[Digest]:
        """Those that are not here."""
        leaving = [digest for digest in digests if digest in self._leaving]
        held = await self._stock.sizes(digests)
        unsure = {digest for digest in digests if digest not in held} | {*leaving}
        gone = {digest for digest in unsure if not await self.has(digest)}
        return [digest for digest in digests if digest in gone]

    async def size(self, digest: Digest) -> int | None:
        """Bytes of the blob, None when it is not here."""
        return await self._stock.size(digest) if is_hex(digest, 64) else None

    async def path(self, digest: Digest) -> Path | None:
        """Where the bytes lie, read-only, as long as the blob is pinned or in use; None when not held."""
        self._index.touch(digest)
        return self._folders.path(digest) if await self.has(digest) else None

    async def read(self, digest: Digest, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Stream bytes [start, end) in pieces of `limits.BLOB_CHUNK_BYTES`; a range beyond the end is cut.

        Raises `NotFound` (`no_such_blob`), `Invalid` (`bad_range`), `Corrupt` when the file is unreadable, or was read as a
        whole and is damaged: it is dropped then, so that the next one to ask fetches a whole copy."""
        with self._using([digest]):
            size = await self.size(digest)
            if size is None:
                raise await self._vanished(digest)
            stop = check_range(start, end, size)
            source = Source(self._folders.path(digest), start, hashes=(start, stop) == (0, size))
            try:
                while start < stop:
                    piece = await self._piece(digest, source, min(limits.BLOB_CHUNK_BYTES, stop - start))
                    start += len(piece)
                    if start == stop and source.digest not in (None, digest):
                        await self._drop(digest)
                        raise Corrupt(f"blob {digest} on the disk is {source.digest}; this copy was dropped")
                    yield piece
            finally:
                source.close()

    def walk(self) -> AsyncIterator[Digest]:
        """Every blob that should be here, also one whose file has vanished."""
        return self._stock.walk()

    async def check(self, digest: Digest, *, pause: Callable[[int], Awaitable[None]] | None = None) -> None:
        """Hash a blob again, with a `pause` after each piece of so many bytes. It does not count as a use.

        Raises `NotFound`, or `Corrupt`: then it is dropped with every scene laid out from it."""
        with self._using([digest], touch=False):
            if not await self.has(digest):
                raise await self._vanished(digest)
            reading = Rehash(self._folders.path(digest))
            try:
                while size := await self._threads.run(reading.step):
                    if pause is not None:
                        await pause(size)
                found = reading.digest
            except FileNotFoundError as fault:
                raise await self._vanished(digest) from fault
            except OSError as fault:
                found = Digest(f"unreadable: {fault.strerror}")
            finally:
                reading.close()
        if found != digest:
            await self._drop(digest)
            raise Corrupt(f"blob {digest} on the disk is {found}; this copy was dropped")

    # ---- bringing in ---------------------------------------------------------------------------------------------

    async def writer(self, expected: Digest | None = None, *, size: int | None = None) -> FolderBlobWriter:
        """Begin a transfer, or resume one of the same digest (a second one at the same time starts from nothing).

        Raises `StoreFull` at once when `size` bytes cannot fit, `Invalid` (`bad_digest`, `blob_too_large`)."""
        _check_announced(expected, size)
        path = self._temporary() if expected is None or expected in self._resuming else self._partial(expected)
        resumed = expected if path.name.startswith(PARTIAL) else None
        if resumed is not None:
            self._resuming.add(resumed)
        try:
            reserve_bytes = self._options.reserve_bytes
            incoming = await self._threads.run(begin, path, expected=expected, size=size, reserve_bytes=reserve_bytes)
            if incoming is None:
                await self._make_room(max((size or 0) - await self._threads.run(size_of, path), 0))
                incoming = await self._threads.run(Incoming, path, expected=expected, size=size, reserve_bytes=reserve_bytes)
        except BaseException:
            self._resuming.discard(resumed or Digest(""))
            raise
        return FolderBlobWriter(self, incoming, resumed=resumed)

    async def adopt(self, path: Path) -> tuple[Digest, int]:
        """Take a finished file of ours: hash, fsync, no-replace link, fsync the folder; (digest, size).

        On the same file system the file and the blob share their bytes from then on: nobody may write to it (it becomes
        read-only). From another one it is copied. Raises `StoreFull`, `StoreBroken`, `OSError`, `ValueError` (no file)."""
        return await uninterrupted(self._adopt(path))

    async def _adopt(self, path: Path) -> tuple[Digest, int]:
        with disk_faults("read a finished file"):
            digest, size = await self._threads.run(hash_file, path)
        async with self._stock.lock(digest):
            try:
                new = await self._threads.run(place, path, self._folders.path(digest), size, self._idle_partials([digest]))
            except OSError as fault:
                if fault.errno != errno.EXDEV:
                    raise
                new = await self._copy_in(path, digest, size)
            self._index.add(digest, size, new=new)
        await self._evict_to_limit()
        return digest, size

    async def _copy_in(self, path: Path, digest: Digest, size: int) -> bool:
        await self._make_room(size, locked=digest)
        copy = self._temporary()
        try:
            await self._threads.run(copy_in, path, copy, digest, self._options.reserve_bytes)
            return await self._threads.run(settle, copy, self._folders.path(digest), size, self._idle_partials([digest]))
        finally:
            await self._threads.run(remove, copy)

    async def take_many(self, contents: Sequence[bytes]) -> list[tuple[Digest, int]]:
        """Take small files all at once: hash, fsync, no-replace link, fsync the folders; (digest, size) of each, in order.

        Costs the disk a few waits instead of two a file. Raises `StoreFull`, `StoreBroken`; nothing is half there then."""
        return await uninterrupted(self._take_many(contents))

    async def _take_many(self, contents: Sequence[bytes]) -> list[tuple[Digest, int]]:
        await self._make_room(sum(map(len, contents)))
        files = [(self._temporary(), data) for data in contents]
        try:
            parts = [files[start :: limits.SMALL_FILE_THREADS] for start in range(min(limits.SMALL_FILE_THREADS, len(files)))]
            written = [
                file for part in await all_of([self._sync_threads.run(write_small, part) for part in parts]) for file in part
            ]
            shards: dict[str, list[Written]] = {}
            for file in written:
                shards.setdefault(file[1][:2], []).append(file)
            await all_of([self._shelve_shard(part) for part in shards.values()])
        finally:
            await self._threads.run(remove_all, [path for path, _ in files])
        await self._evict_to_limit()
        taken = {path: (digest, size) for path, digest, size in written}
        return [taken[path] for path, _ in files]

    async def _shelve_shard(self, files: list[Written]) -> None:
        async with self._stock.lock(files[0][1]):
            folder, partials = self._folders.path(files[0][1]).parent, self._idle_partials([digest for _, digest, _ in files])
            placed = await self._sync_threads.run(place_all, files, folder, partials)
            for (_, digest, size), new in zip(files, placed, strict=True):
                self._index.add(digest, size, new=new)

    async def shelve(self, incoming: Incoming) -> tuple[Digest, int]:
        """The end of a transfer: verify, link into place, count. For the writer."""
        digest, size = await self._threads.run(incoming.seal)
        async with self._stock.lock(digest):
            target, partials = self._folders.path(digest), self._idle_partials([digest])
            new = await self._threads.run(settle, incoming.path, target, size, partials)
            self._index.add(digest, size, new=new)
        await self._evict_to_limit()
        return digest, size

    def _idle_partials(self, digests: Sequence[Digest]) -> list[Path]:
        """What interrupted transfers of blobs have left, which is of no use once they are here; unless one goes on with it."""
        return [self._partial(digest) for digest in digests if digest not in self._resuming]

    async def append(self, incoming: Incoming, chunk: bytes) -> None:
        """Write on, evicting unneeded blobs when the disk gets short. Raises `StoreFull`. For the writer."""
        if await self._threads.run(incoming.write, chunk):
            return
        try:
            await self._make_room(len(chunk))
            written = await self._threads.run(incoming.write, chunk)
        except StoreFull:
            await self._threads.run(incoming.stop, keep=False)
            raise
        if not written:
            await self._threads.run(incoming.stop, keep=False)
            raise disk_full(self._options.reserve_bytes)

    async def stop(self, incoming: Incoming, *, keep: bool) -> None:
        """End a transfer early. For the writer."""
        await self._threads.run(incoming.stop, keep=keep)

    async def prune(self) -> None:
        """Let old interrupted transfers go. For the writer."""
        await self._threads.run(self._folders.prune_partials, frozenset(self._resuming))

    def finished(self, resumed: Digest | None) -> None:
        """The partial of this digest is free for the next transfer. For the writer."""
        if resumed is not None:
            self._resuming.discard(resumed)

    # ---- keeping -------------------------------------------------------------------------------------------------

    async def pin(self, owner: str, digests: Sequence[Digest]) -> None:
        """Protect blobs, also such as are not here yet, on behalf of `owner`; durable when it returns.

        Raises `StoreFull`, `StoreBroken`: then nothing new is pinned."""
        for digest in digests:
            _check_announced(digest, None)
        await self._stock.pin(owner, digests)

    async def unpin(self, owner: str) -> None:
        """Take back all pins of `owner`; what nobody else needs becomes cache. Raises `StoreFull`, `StoreBroken`."""
        await self._stock.unpin(owner)
        await self._evict_to_limit()

    async def materialise(self, manifest: Manifest) -> Path:
        """A read-only tree of links with the manifest's names, shared by its users; the folder's path.

        It stays while one of its blobs is pinned. Raises `NotFound` (`no_such_blob`), `Invalid`, `StoreFull`."""
        return await uninterrupted(self._materialise(manifest))

    async def _materialise(self, manifest: Manifest) -> Path:
        digests = list({entry.digest for entry in manifest.files})
        async with self._tree_lock:
            for digest in digests:
                self._index.renew(digest)
                self._index.touch(digest)
            held = await self._stock.sizes(digests)
            for digest in digests:
                if digest not in held or digest in self._leaving:
                    raise _no_such_blob(digest)
            found = self._trees.find(manifest.digest())
            if found is not None:
                return found
            with self._using(digests):
                try:
                    return await self._threads.run(self._trees.build, manifest, self._folders.path)
                except FileNotFoundError as fault:
                    gone = [digest for digest in digests if not self._folders.path(digest).exists()]
                    for digest in gone:
                        await self._stock.gone(digest)
                    raise _no_such_blob(gone[0] if gone else digests[0]) from fault

    async def close(self) -> None:
        """Wait for what runs on threads, and end them. Writers and readers must have ended."""
        await asyncio.to_thread(self._threads.close)
        await asyncio.to_thread(self._sync_threads.close)

    # ---- making room ---------------------------------------------------------------------------------------------

    async def trim(self) -> None:
        """Bring the cache to its limit, which may be lower than when its blobs came."""
        await self._evict_to_limit()

    async def _evict_to_limit(self) -> None:
        await self._evict(self._index.cached_bytes - self._options.cache_bytes_max)

    async def _make_room(self, more: int, *, locked: Digest | None = None) -> None:
        """See to it that `more` bytes fit above the reserve. Raises `StoreFull`; evicts only when that helps."""
        missing = await self._missing(more)
        if missing <= 0:
            return
        if sum(self._index.size(digest) for digest in self._victims(missing)) >= missing:
            await self._evict(missing, locked=locked)
            missing = await self._missing(more)
        if missing > 0:
            raise disk_full(self._options.reserve_bytes)

    async def _missing(self, more: int) -> int:
        return more + self._options.reserve_bytes - await self._threads.run(free_bytes, self._folders.scratch)

    def _victims(self, wanted_bytes: int) -> Sequence[Digest]:
        spared = [blobs for _, blobs in self._trees.all() if any(self._index.is_protected(blob) for blob in blobs)]
        return self._index.victims(wanted_bytes, spared=frozenset().union(*spared))

    async def _evict(self, wanted_bytes: int, *, locked: Digest | None = None) -> None:
        if wanted_bytes <= 0:
            return
        victims = self._victims(wanted_bytes)
        pinned = await self._stock.pinned(victims)
        for digest in victims:
            if digest in pinned:
                continue
            if locked is not None and self._stock.lock(locked) is self._stock.lock(digest):
                continue  # the caller holds this very lock
            async with self._stock.lock(digest):
                if digest in self._index and not self._is_needed(digest):
                    await uninterrupted(self._unlink(digest))

    def _is_needed(self, digest: Digest) -> bool:
        """Asked again under the lock: someone may have pinned it since it was chosen."""
        trees = frozenset(self._trees.holding(digest))
        return self._index.is_protected(digest) or any(
            self._index.is_protected(blob) for tree, blobs in self._trees.all() if tree in trees for blob in blobs
        )

    async def _drop(self, digest: Digest) -> None:
        """Remove a damaged blob, needed or not, and say so."""
        async with self._stock.lock(digest):
            await uninterrupted(self._unlink(digest))
            await self._stock.gone(digest)
        self.on_lost(digest)

    async def _vanished(self, digest: Digest) -> NotFound:
        """The refusal for a blob that has no file; when there should be one, that is told like any other loss."""
        if not is_hex(digest, 64):
            return _no_such_blob(digest)
        async with self._stock.lock(digest):
            is_lost = not await self._stock.sizes([digest]) and await self._stock.gone(digest)
            if is_lost:
                await uninterrupted(self._unlink(digest))  # and every scene laid out from it
        if is_lost:
            self.on_lost(digest)
        return _no_such_blob(digest)

    async def _unlink(self, digest: Digest) -> None:
        self._index.remove(digest)
        self._leaving.add(digest)  # first: nobody lays it out from here on; whoever reads waits for its shard's lock
        try:
            trees = self._trees.holding(digest)
            if trees:
                async with self._tree_lock:
                    await self._threads.run(self._trees.drop, trees)
            await self._threads.run(remove, self._folders.path(digest))
        finally:
            self._leaving.discard(digest)

    # ---- small things --------------------------------------------------------------------------------------------

    async def _piece(self, digest: Digest, source: Source, length: int) -> bytes:
        try:
            piece = await self._threads.run(source.read, length)
        except FileNotFoundError as fault:
            raise await self._vanished(digest) from fault
        except OSError as fault:
            await self._drop(digest)
            raise Corrupt(f"blob {digest} cannot be read ({fault.strerror}); this copy was dropped") from fault
        if not piece:
            await self._drop(digest)
            raise Corrupt(f"blob {digest} is shorter than it was; this copy was dropped")
        return piece

    @contextmanager
    def _using(self, digests: Sequence[Digest], *, touch: bool = True) -> Iterator[None]:
        self._index.use(digests, touch=touch)
        try:
            yield
        finally:
            self._index.release(digests)

    def _temporary(self) -> Path:
        self._serial += 1
        return self._folders.scratch / f"in-{self._serial}"

    def _partial(self, expected: Digest) -> Path:
        return self._folders.partial(expected)


class FolderBlobWriter:
    """Satisfies `peer.ports.BlobWriter`. Calls come one after the other; after an error the transfer has ended."""

    def __init__(self, blobs: FolderBlobs, incoming: Incoming, *, resumed: Digest | None) -> None:
        self._blobs = blobs
        self._incoming = incoming
        self._resumed = resumed

    @property
    def offset(self) -> int:
        """Bytes held so far; above zero at the start when a partial transfer is resumed."""
        return self._incoming.offset

    @property
    def path(self) -> Path:
        """Where the bytes lie that every finished `write` has added; gone when the transfer ends."""
        return self._incoming.path

    async def write(self, chunk: bytes) -> None:
        """Append. Raises `StoreFull`, `StoreBroken`, `Corrupt` (more than announced); the bytes are dropped then."""
        try:
            await self._blobs.append(self._incoming, chunk)
        except Exception:
            self._blobs.finished(self._resumed)
            raise

    async def finish(self) -> tuple[Digest, int]:
        """fsync, verify, link into place, fsync the folder; (digest, size). Raises `Corrupt`: the bytes are dropped."""
        try:
            return await uninterrupted(self._blobs.shelve(self._incoming))
        finally:
            self._blobs.finished(self._resumed)

    async def abort(self, *, keep: bool) -> None:
        """Stop; `keep` leaves the bytes for a later resume, when the digest is known. Harmless after `finish`.

        Nothing is left where there are no bytes, or where the blob has come in another way."""
        try:
            worth = keep and self._incoming.offset > 0 and not (self._resumed is None or await self._blobs.has(self._resumed))
            await self._blobs.stop(self._incoming, keep=worth)
        finally:
            self._blobs.finished(self._resumed)
        await self._blobs.prune()


def check_range(start: int, end: int | None, size: int) -> int:
    """The end of a range in a blob of `size` bytes. Raises `Invalid` (`bad_range`)."""
    if start < 0 or (end is not None and end < start):
        raise Invalid("bad_range", f"bytes {start} to {end} are not a range")
    return size if end is None else min(end, size)


def _check_announced(expected: Digest | None, size: int | None) -> None:
    if expected is not None and not is_hex(expected, 64):
        raise Invalid("bad_digest", f"not a digest: {expected[:80]!r}")
    if size is not None and not 0 <= size <= limits.SCENE_BYTES_MAX:
        raise Invalid("blob_too_large", f"a file has from 0 to {limits.SCENE_BYTES_MAX:,} bytes")


def _no_such_blob(digest: Digest) -> NotFound:
    return NotFound("no_such_blob", f"the file {digest} is not held here")
