"""Finished frames into output roots: never a half-written file under a final name, and no other file than our own gives way.

Performs `Deliver` and answers with one `DeliverEnded`. Decides what a file that is there already means (equal pixels, an older
generation of ours, somebody else's); refuses to know jobs and who asked. Steps of one file: copy the verified bytes to a
temporary name in the target's own folder, fsync, link under the final name unless it exists, fsync the folder.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import blake3
import structlog

from peer import failpoints
from peer.ports import Blobs, Corrupt, RenderFailed, ReportedFile, Verifier
from peer.store.disk import place_no_replace, sync_folder
from protocol import limits
from protocol.effects import Deliver
from protocol.errors import Refusal
from protocol.events import DeliverEnded
from protocol.ids import JobId
from protocol.jobs.parcels import Parcel, Placed
from protocol.jobs.results import Output

TEMPORARY: Final = ".rendermesh-"
_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT))
_CLOSED: Final = frozenset((errno.EROFS, errno.EACCES, errno.EPERM))
_GONE: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ESTALE, errno.EIO, errno.ENOTCONN))
_log = structlog.get_logger("rendermesh")

Verdict = Literal["placed", "conflict", "absent"]


class RootFault(Exception):
    """The root hinders it: `code` says how, the text where and why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class _Root:
    """`device` is the file system that was there first: a mount that has gone leaves an empty folder of another one."""

    path: Path
    device: int | None = None


class Delivery:
    """Invariants: every Deliver ends in one event; one batch at a time is performed; a file under a final name is whole and
    durable when it is reported."""

    def __init__(self, roots: Mapping[str, Path], blobs: Blobs, verifier: Verifier, tell: Callable[[DeliverEnded], None]) -> None:
        self._roots = {name: _Root(path) for name, path in roots.items()}
        self._blobs = blobs
        self._verifier = verifier
        self._tell = tell
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def deliver(self, effect: Deliver) -> None:
        """Begin; the event comes when all is done or something hinders it."""
        task = asyncio.get_running_loop().create_task(self._deliver(effect))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop; what is not in place yet is asked for again."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, effect: Deliver) -> None:
        placed: list[Placed] = []
        code, reason = "", ""
        try:
            async with self._one_at_a_time:
                await self._batch(effect, placed)
        except RootFault as fault:
            code, reason = fault.code, str(fault)
        except (Refusal, Corrupt) as fault:
            code, reason = "output_unreachable", str(fault)
        except OSError as fault:
            code, reason = _named(fault, effect.root)
        except Exception as fault:
            _log.error("delivery_broke", exc_info=fault)
            code, reason = "output_root_failed", f"the peer itself failed: {type(fault).__name__}: {fault}"
        self._tell(DeliverEnded(effect.ticket, tuple(placed), code, reason))

    async def _batch(self, effect: Deliver, placed: list[Placed]) -> None:
        root = self._roots[effect.root]
        base = await asyncio.to_thread(_open_root, root, effect.root)
        swept: set[Path] = set()
        for parcel in effect.parcels:
            verdicts = [
                await self._one(effect, parcel, base / effect.folder / name, output, base, swept)
                for name, output in zip(parcel.names, parcel.outputs, strict=True)
            ]
            if "absent" not in verdicts:
                pairs = zip(parcel.names, verdicts, strict=True)
                placed.append(
                    Placed(parcel.frame, parcel.generation, tuple(name for name, verdict in pairs if verdict == "conflict"))
                )

    async def _one(self, effect: Deliver, parcel: Parcel, target: Path, output: Output, base: Path, swept: set[Path]) -> Verdict:
        """Look at one file, or put it in place. A file that turns up in between is looked at once more."""
        folder = await asyncio.to_thread(_folder_of, target, base, make=not effect.sweep)
        if folder is None:
            return "absent"
        if folder not in swept:
            swept.add(folder)
            await asyncio.to_thread(_remove_leftovers, folder, effect.job)
        if effect.sweep:
            return "placed" if await asyncio.to_thread(os.path.lexists, target) else "absent"
        if await asyncio.to_thread(os.path.lexists, target):
            return await self._meet(effect.job, parcel, target, output)
        temporary = await self._copy(effect.job, target, output)
        try:
            await asyncio.to_thread(failpoints.reach, "output rename before")
            if await asyncio.to_thread(place_no_replace, temporary, target):
                await asyncio.to_thread(failpoints.reach, "output rename after")
                return "placed"
        finally:
            await asyncio.to_thread(_unlink, temporary)
        return await self._meet(effect.job, parcel, target, output)

    async def _meet(self, job: JobId, parcel: Parcel, target: Path, output: Output) -> Verdict:
        """A file of that name is there: the same picture stays, an older one of ours gives way, any other is kept."""
        if await asyncio.to_thread(_has_bytes, target, output):
            await asyncio.to_thread(sync_folder, target.parent)
            return "placed"
        pixels = await self._pixels(target, output)
        if pixels is not None and pixels == output.pixel_hash:
            return "placed"
        if pixels is None or pixels not in parcel.replaces:
            return "conflict"
        temporary = await self._copy(job, target, output)
        try:
            await asyncio.to_thread(failpoints.reach, "output rename before")
            await asyncio.to_thread(os.replace, temporary, target)
            await asyncio.to_thread(failpoints.reach, "output rename after")
            await asyncio.to_thread(sync_folder, target.parent)
        finally:
            await asyncio.to_thread(_unlink, temporary)
        return "placed"

    async def _pixels(self, target: Path, output: Output) -> str | None:
        """The pixel hash of a file that is there; None for what is no picture of these dimensions."""
        if not await asyncio.to_thread(_is_plain, target):
            return None
        report = ReportedFile(
            role=output.role, name=target.name, path=target, width=output.width, height=output.height,
            channels=output.channels, format=output.format,
        )  # fmt: skip
        try:
            [verified] = await self._verifier.verify([report])
        except RenderFailed as fault:
            if fault.failure.kind == "infrastructure":
                raise OSError(fault.failure.reason) from fault
            return None
        return verified.pixel_hash

    async def _copy(self, job: JobId, target: Path, output: Output) -> Path:
        """The blob's bytes under a temporary name beside `target`, verified once more and durable."""
        source = await self._blobs.path(output.digest)
        if source is None:
            raise Corrupt(f"the blob {output.digest[:16]} has left this peer's cache")
        temporary = target.with_name(f"{TEMPORARY}{job[:12]}-{secrets.token_hex(6)}.part")
        try:
            await asyncio.to_thread(_copy, source, temporary, output.digest)
        except BaseException as fault:
            await asyncio.to_thread(_unlink, temporary)
            if isinstance(fault, Corrupt):
                await self._blobs.check(output.digest)  # drops it, so that it is fetched anew
            raise
        return temporary


def _open_root(root: _Root, name: str) -> Path:
    """The root's real path. Raises `RootFault` when it is not there, or another file system stands in its place."""
    try:
        path = root.path.resolve(strict=True)
        status = path.stat()
    except OSError as fault:
        raise RootFault("output_root_gone", f"the output root {name!r} is not there: {root.path}: {fault.strerror}") from fault
    if not path.is_dir():
        raise RootFault("output_root_gone", f"the output root {name!r} is not a folder: {root.path}")
    if root.device is None:
        root.device = status.st_dev
    elif root.device != status.st_dev:
        text = f"the output root {name!r} is not mounted any more: another file system is at {root.path}"
        raise RootFault("output_root_gone", text)
    return path


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


def _named(fault: OSError, root: str) -> tuple[str, str]:
    where = f"output root {root!r}: {fault.filename or ''}: {fault.strerror or fault}"
    if fault.errno in _FULL:
        return "output_root_full", where
    if fault.errno in _CLOSED:
        return "output_root_read_only", where
    return ("output_root_gone" if fault.errno in _GONE else "output_root_failed"), where
