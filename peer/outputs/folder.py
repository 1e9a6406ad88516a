"""An output root that is a folder: copy beside the place, fsync, link under the final name only if that is free.

Decides how a file gets its name on a file system. Refuses to know jobs, and what else is in the folder.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import blake3

from peer import failpoints
from peer.outputs.root import Finding, Judge, RootFault, Verdict
from peer.ports import Blobs, Corrupt
from peer.store.disk import place_no_replace, sync_folder
from protocol import limits
from protocol.ids import JobId
from protocol.jobs.parcels import Parcel
from protocol.jobs.results import Output

TEMPORARY: Final = ".rendermesh-"


class FolderRoot:
    """Invariant: a file under a final name is whole and durable. The file system that was there first counts: a mount that has
    gone leaves an empty folder of another one."""

    def __init__(self, name: str, path: Path, blobs: Blobs, judge: Judge) -> None:
        self._name = name
        self._path = path
        self._blobs = blobs
        self._judge = judge
        self._device: int | None = None

    async def begin(self, job: JobId) -> FolderBatch:
        """Raises `RootFault` when the folder is not there, or another file system stands in its place."""
        return FolderBatch(job, await asyncio.to_thread(self._open), self._blobs, self._judge)

    def _open(self) -> Path:
        try:
            path = self._path.resolve(strict=True)
            status = path.stat()
        except OSError as fault:
            text = f"the output root {self._name!r} is not there: {self._path}: {fault.strerror}"
            raise RootFault("output_root_gone", text) from fault
        if not path.is_dir():
            raise RootFault("output_root_gone", f"the output root {self._name!r} is not a folder: {self._path}")
        if self._device is None:
            self._device = status.st_dev
        elif self._device != status.st_dev:
            text = f"the output root {self._name!r} is not mounted any more: another file system is at {self._path}"
            raise RootFault("output_root_gone", text)
        return path


@dataclass(slots=True)
class FolderBatch:
    """Satisfies `Batch` below `base`. Leftovers of a killed peer are removed once from each folder that is met."""

    job: JobId
    base: Path
    blobs: Blobs
    judge: Judge
    _cleaned: set[Path] = field(default_factory=set)

    async def holds(self, name: str, parcel: Parcel, output: Output) -> bool:
        target = self.base / name
        if await asyncio.to_thread(_folder_of, target, self.base, make=False) is None:
            return False
        await self._clean(target.parent)
        if not await asyncio.to_thread(os.path.lexists, target):
            return False
        return not parcel.replaces or await self._find(target, parcel, output) != "older"

    async def place(self, name: str, parcel: Parcel, output: Output) -> Verdict:
        """A file that turns up in between is looked at once more."""
        target = self.base / name
        await asyncio.to_thread(_folder_of, target, self.base, make=True)
        await self._clean(target.parent)
        if await asyncio.to_thread(os.path.lexists, target):
            return await self._meet(target, parcel, output)
        temporary = await self._copy(target, output)
        try:
            await asyncio.to_thread(failpoints.reach, "output rename before")
            if await asyncio.to_thread(place_no_replace, temporary, target):
                await asyncio.to_thread(failpoints.reach, "output rename after")
                return "placed"
        finally:
            await asyncio.to_thread(_unlink, temporary)
        return await self._meet(target, parcel, output)

    async def _clean(self, folder: Path) -> None:
        if folder not in self._cleaned:
            self._cleaned.add(folder)
            await asyncio.to_thread(_remove_leftovers, folder, self.job)

    async def _find(self, target: Path, parcel: Parcel, output: Output) -> Finding:
        async def has_bytes() -> bool:
            return await asyncio.to_thread(_has_bytes, target, output)

        is_plain = await asyncio.to_thread(_is_plain, target)
        return await self.judge.find(target, parcel, output, has_bytes=has_bytes, is_plain=is_plain)

    async def _meet(self, target: Path, parcel: Parcel, output: Output) -> Verdict:
        match await self._find(target, parcel, output):
            case "ours":
                await asyncio.to_thread(sync_folder, target.parent)
                return "placed"
            case "foreign":
                return "conflict"
            case "older":
                await self._replace(target, output)
                return "placed"

    async def _replace(self, target: Path, output: Output) -> None:
        temporary = await self._copy(target, output)
        try:
            await asyncio.to_thread(failpoints.reach, "output rename before")
            await asyncio.to_thread(os.replace, temporary, target)
            await asyncio.to_thread(failpoints.reach, "output rename after")
            await asyncio.to_thread(sync_folder, target.parent)
        finally:
            await asyncio.to_thread(_unlink, temporary)

    async def _copy(self, target: Path, output: Output) -> Path:
        """The blob's bytes under a temporary name beside `target`, verified once more and durable."""
        source = await self.blobs.path(output.digest)
        if source is None:
            raise Corrupt(f"the blob {output.digest[:16]} has left this peer's cache")
        temporary = target.with_name(f"{TEMPORARY}{self.job[:12]}-{secrets.token_hex(6)}.part")
        try:
            await asyncio.to_thread(_copy, source, temporary, output.digest)
        except BaseException as fault:
            await asyncio.to_thread(_unlink, temporary)
            if isinstance(fault, Corrupt):
                await self.blobs.check(output.digest)  # drops it, so that it is fetched anew
            raise
        return temporary


def _folder_of(target: Path, base: Path, *, make: bool) -> Path | None:
    """The target's folder, below the root also once links are followed; made where it is missing, with durable names.

    None: it is missing, and is not to be made. Raises `RootFault` when a link leads out of the root."""
    missing: list[Path] = []
    folder = target.parent
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    if not folder.resolve().is_relative_to(base):
        raise RootFault("output_root_failed", f"{folder} leads out of the output root {base}")
    if missing and not make:
        return None
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        sync_folder(one.parent)
    return target.parent


def _copy(source: Path, temporary: Path, digest: str) -> None:
    hasher = blake3.blake3()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with source.open("rb") as file, os.fdopen(os.open(temporary, flags, 0o666), "wb") as copy:
        while piece := file.read(limits.HASH_PIECE_BYTES):
            hasher.update(piece)
            copy.write(piece)
        copy.flush()
        failpoints.reach("output temporary before")
        os.fsync(copy.fileno())
    failpoints.reach("output temporary after")
    if hasher.hexdigest() != digest:
        raise Corrupt(f"the blob {digest[:16]} is damaged on this peer; it is fetched again")


def _is_plain(target: Path) -> bool:
    return target.is_file() and not target.is_symlink()


def _has_bytes(target: Path, output: Output) -> bool:
    if not _is_plain(target) or target.stat().st_size != output.size:
        return False
    hasher = blake3.blake3()
    with target.open("rb") as file:
        while piece := file.read(limits.HASH_PIECE_BYTES):
            hasher.update(piece)
    return hasher.hexdigest() == output.digest


def _remove_leftovers(folder: Path, job: JobId) -> None:
    """What a peer that was killed has left of this job; nobody else writes for it now."""
    for path in folder.glob(f"{TEMPORARY}{job[:12]}-*.part"):
        _unlink(path)


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
