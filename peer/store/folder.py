"""The data folder: its layout, its lock, and what a start makes good after a crash.

Decides where everything lies. Refuses to know what is stored. Layout (private to the user, one file system):

    lock          who has it           blobs/ab/DIGEST   files by content       tmp/    transfers and trees in the making
    journal.db    facts, values, pins  trees/DIGEST/     scenes as laid out     work/   one folder per render attempt
    retired       why nothing is acknowledged before all was verified
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import apsw

from peer.ports import StoreBroken, StoreFull
from peer.store.attic import FileAttic
from peer.store.blobs import BlobOptions, FolderBlobs
from peer.store.database import Database
from peer.store.disk import make_folder, remove, sync_folder
from peer.store.errors import FolderUnwritable, StoreUnusable
from peer.store.journal import SqliteJournal
from peer.store.layout import PARTIAL, BlobFolders
from peer.store.lock import FolderLock
from peer.store.pins import Pins
from peer.store.retirement import JOURNAL_FILES, forget_pages, reason_of, retire, verify
from protocol.ids import AuthorId, Digest

PROBE_BYTES = 4096


@dataclass(slots=True)
class Store:
    """An open data folder. Invariant: it is this process's alone until `close`.

    `author_id` is new at every start, `run_epoch` greater than at every start before; `work_dir` is empty at the start."""

    journal: SqliteJournal
    blobs: FolderBlobs
    attic: FileAttic
    author_id: AuthorId
    run_epoch: int
    work_dir: Path
    _database: Database
    _lock: FolderLock

    async def close(self) -> None:
        """Finish what is under way and give the folder free. Calling it again is harmless."""
        await self.blobs.close()
        await asyncio.to_thread(self.attic.close)
        await asyncio.to_thread(self._database.close)
        self._lock.release()


def open_store(data_dir: Path, options: BlobOptions | None = None, *, vfs: str | None = None) -> Store:
    """Make or open a data folder, take it for this process, and clear away what a crash left; blocks.

    `vfs` names a registered SQLite file layer (fault injection). Raises `StoreUnusable` with what to do about it:
    `FolderTaken`, `FolderUnwritable` (rights, read-only, full), `StoreNewer`; `StoreBroken` for a damaged journal."""
    options = options or BlobOptions()
    lock = _take(data_dir)
    try:
        folders = _prepare(data_dir)
        retired = reason_of(data_dir)
        if retired is not None:
            forget_pages(data_dir / name for name in JOURNAL_FILES)
        database = _database(data_dir, vfs)
        database.on_broken = lambda reason: retire(data_dir, reason)
        try:
            _tidy(data_dir, folders)
            if retired is not None:
                verify(data_dir, folders, database)
            run_epoch = database.run_now(_next_run_epoch)
            blobs = FolderBlobs(folders, Pins(database), options, on_broken=database.retire)
        except BaseException:
            database.close()
            raise
    except StoreFull as fault:
        lock.release()
        raise FolderUnwritable(f"the disk of the data folder {data_dir} is full; make room, then start again") from fault
    except OSError as fault:
        lock.release()
        raise _unwritable(data_dir, fault) from fault
    except BaseException:
        lock.release()
        raise
    return Store(
        journal=SqliteJournal(database),
        blobs=blobs,
        attic=FileAttic(folders.scratch, reserve_bytes=options.reserve_bytes, on_broken=database.retire),
        author_id=AuthorId(os.urandom(8).hex()),
        run_epoch=run_epoch,
        work_dir=data_dir / "work",
        _database=database,
        _lock=lock,
    )


def _take(data_dir: Path) -> FolderLock:
    try:
        make_folder(data_dir)
        if not data_dir.is_dir():
            raise NotADirectoryError(20, "Not a directory")
    except OSError as fault:
        raise _unwritable(data_dir, fault) from fault
    return FolderLock(data_dir / "lock")


def _prepare(data_dir: Path) -> BlobFolders:
    folders = BlobFolders(blobs=data_dir / "blobs", trees=data_dir / "trees", scratch=data_dir / "tmp")
    for folder in (folders.blobs, folders.trees, folders.scratch, data_dir / "work", *folders.shards()):
        make_folder(folder)
    _probe(folders.scratch / "probe")
    sync_folder(folders.blobs)
    sync_folder(data_dir)
    return folders


def _probe(path: Path) -> None:
    """Really write: rights and free blocks tell half the truth on network disks, quotas and read-only mounts."""
    try:
        with path.open("wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    finally:
        remove(path)


def _database(data_dir: Path, vfs: str | None) -> Database:
    try:
        return Database(data_dir / "journal.db", vfs=vfs)
    except StoreBroken as fault:
        instead = f"Move the data folder {data_dir} away and start with an empty one; the other peers hold what it held"
        raise StoreBroken(f"{fault}. {instead}") from fault


def _tidy(data_dir: Path, folders: BlobFolders) -> None:
    """Remove what an earlier process left half done; interrupted transfers stay, for their next try."""
    for path in [*(data_dir / "work").iterdir(), *folders.trees.iterdir()]:
        remove(path)
    for path in folders.scratch.iterdir():
        digest = Digest(path.name.removeprefix(PARTIAL))
        if not path.name.startswith(PARTIAL) or not path.is_file() or folders.path(digest).exists():
            remove(path)
    folders.prune_partials(frozenset())


def _next_run_epoch(connection: apsw.Connection) -> int:
    rows = connection.execute(
        "INSERT INTO meta VALUES ('run_epoch', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
    )
    return int(next(iter(rows))[0])


def _unwritable(data_dir: Path, fault: OSError) -> StoreUnusable:
    where = fault.filename or data_dir
    return FolderUnwritable(
        f"the data folder {data_dir} cannot be used: {where}: {fault.strerror}; "
        "choose another one with --data-dir, or give this user the right to write there"
    )
