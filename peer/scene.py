"""The default scene of the simple endpoints: a file of this machine, taken into the store when it is first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from peer.ports import Blobs
from protocol import limits
from protocol.errors import Invalid
from protocol.jobs.manifest import Manifest, ManifestEntry, clean_name, make_manifest

PIN = "default-scene"


class DefaultScene:
    """Invariant: the manifest is of the file as it is now (by size and time), its bytes are in the store, pinned."""

    def __init__(self, path: Path | None, blobs: Blobs, check: Callable[[Path], object]) -> None:
        self._path = path
        self._blobs = blobs
        self._check = check
        self._seen: tuple[tuple[int, int], Manifest] | None = None
        self._lock = asyncio.Lock()

    async def manifest(self) -> Manifest | None:
        """The scene, or None when none is configured. Raises `Invalid` when the file is gone or is no scene."""
        if self._path is None:
            return None
        async with self._lock:
            try:
                state = await asyncio.to_thread(self._path.stat)
                mark = (state.st_size, state.st_mtime_ns)
                if self._seen is None or self._seen[0] != mark:
                    self._seen = (mark, await self._take_in(self._path))
            except OSError as error:
                raise Invalid("no_default_scene", f"the default scene {self._path} cannot be read: {error.strerror}") from None
            return self._seen[1]

    async def _take_in(self, path: Path) -> Manifest:
        await asyncio.to_thread(self._check, path)
        writer = await self._blobs.writer()
        file = await asyncio.to_thread(path.open, "rb")
        try:
            while chunk := await asyncio.to_thread(file.read, limits.BLOB_CHUNK_BYTES):
                await writer.write(chunk)
            digest, size = await writer.finish()
        except BaseException:
            await writer.abort(keep=False)
            raise
        finally:
            file.close()
        await self._blobs.unpin(PIN)
        await self._blobs.pin(PIN, [digest])
        name = clean_name(path.name)
        return make_manifest(name, [ManifestEntry(name, digest, size)])
