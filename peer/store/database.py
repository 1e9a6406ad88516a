"""One SQLite connection, one thread, and commits that callers in flight share.

Decides when a transaction begins and ends, and what an error means: full (try again when there is space) or broken (never
again). Refuses to know any table: callers hand in functions over the connection.

An fsync that failed once may "succeed" when repeated although the pages are gone (the kernel drops them), so after EIO
this database acknowledges nothing more. For the same reason checkpoints are ours: SQLite's automatic ones swallow errors.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import apsw

from peer.ports import StoreBroken, StoreFull
from peer.store import migrations
from peer.store.disk import sync_folder
from peer.store.errors import FolderUnwritable, StoreUnusable
from peer.store.threads import uninterrupted
from protocol import limits

ResultT = TypeVar("ResultT")
Work = Callable[[apsw.Connection], ResultT]


@dataclass(slots=True)
class _Request:
    work: Work[Any]
    done: Future[Any]


class Database:
    """Invariants: only the writer thread touches the connection; a request's result is set after the commit that holds it;
    once `broken` has a text, no request succeeds. The connection locks the file exclusively, so no shared memory file is
    needed (a full disk would otherwise end the process with SIGBUS)."""

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        """Open or create the file and bring it to the current layout.

        `vfs` names a registered SQLite file layer (fault injection). Raises `StoreUnusable`, `StoreFull`, `StoreBroken`."""
        self._path = path
        self._wal_pages = 0
        self.broken: str | None = None
        self.on_broken: Callable[[str], None] = lambda _: None
        """Told the reason, once, on whichever thread finds it."""
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._closed = False
        self._connection = _open(path, vfs)
        self._connection.set_wal_hook(self._count_pages)
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def folder(self) -> Path:
        """The folder that the file lies in."""
        return self._path.parent

    async def run(self, work: Work[ResultT]) -> ResultT:
        """`work(connection)` inside a transaction that others may share; returns once it is on the disk.

        An exception of `work` undoes this work alone. Raises `StoreFull` or `StoreBroken` for the disk's."""
        return await uninterrupted(asyncio.wrap_future(self._enqueue(work)))

    def run_now(self, work: Work[ResultT]) -> ResultT:
        """`run` for callers without a loop, such as the opening of the store; blocks."""
        return self._enqueue(work).result()

    def retire(self, reason: str) -> None:
        """Refuse everything from now on: what was read cannot be trusted."""
        first = self.broken is None
        self.broken = self.broken or reason
        if first:
            self.on_broken(reason)

    def close(self) -> None:
        """Finish what was asked, fold the log into the file, and close; blocks. Calling it again is harmless."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    def _enqueue(self, work: Work[ResultT]) -> Future[ResultT]:
        if self._closed:
            raise StoreBroken(f"{self._path} is closed")
        request = _Request(work, Future())
        self._queue.put(request)
        return request.done

    # ---- on the writer thread ------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while (first := self._queue.get()) is not None:
            self._commit(self._gather(first))
            self._checkpoint_when_long()
        with suppress(apsw.Error):  # what is in the log is durable; the next opening replays it
            self._connection.close()

    def _gather(self, first: _Request) -> list[_Request]:
        """`first` and what came in meanwhile: they share one fsync."""
        group = [first]
        while len(group) < limits.COMMITS_PER_TRANSACTION_MAX:
            try:
                request = self._queue.get_nowait()
            except Empty:
                break
            if request is None:
                self._queue.put(None)
                break
            group.append(request)
        return [request for request in group if request.done.set_running_or_notify_cancel()]

    def _commit(self, group: list[_Request]) -> None:
        if self.broken is not None:
            _refuse(group, StoreBroken(self.broken))
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._perform(request) for request in group]
            self._connection.execute("COMMIT")
        except apsw.Error as fault:
            self._undo()
            self._failed(group, fault)
            return
        for request, (value, fault_of_work) in zip(group, outcomes, strict=True):
            if fault_of_work is None:
                request.done.set_result(value)
            else:
                request.done.set_exception(fault_of_work)

    def _perform(self, request: _Request) -> tuple[Any, Exception | None]:
        """One request in a savepoint: its own mistakes undo it alone, the database's end the whole transaction."""
        self._connection.execute("SAVEPOINT one")
        try:
            value = request.work(self._connection)
        except apsw.Error:
            raise
        except Exception as fault:
            self._connection.execute("ROLLBACK TO one; RELEASE one")
            return None, fault
        self._connection.execute("RELEASE one")
        return value, None

    def _undo(self) -> None:
        """SQLite has often rolled back by itself (full, I/O error), and then a second rollback would be an error."""
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except apsw.Error as fault:
                self.retire(str(_translated(fault, self._path)))

    def _failed(self, group: list[_Request], fault: apsw.Error) -> None:
        error = _translated(fault, self._path)
        if isinstance(error, StoreBroken):
            self.retire(str(error))
        elif len(group) > 1:  # the large ones may be what does not fit
            for request in group:
                self._commit([request])
            return
        _refuse(group, error)

    def _count_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint_when_long(self) -> None:
        if self._wal_pages < limits.WAL_PAGES_MAX or self.broken is not None:
            return
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._wal_pages = 0
        except apsw.FullError:
            self._wal_pages = 0  # the log still holds everything; tried again after as many pages
        except apsw.Error as fault:
            self.retire(str(_translated(fault, self._path)))


def _open(path: Path, vfs: str | None) -> apsw.Connection:
    try:
        if not path.exists():
            _make(path, vfs)
        return _connect(path, vfs, fresh=False)
    except apsw.Error as fault:
        raise _translated(fault, path) from fault
    except OSError as fault:
        raise FolderUnwritable(f"cannot write {path}: {fault.strerror}") from fault


def _connect(path: Path, vfs: str | None, *, fresh: bool) -> apsw.Connection:
    connection = apsw.Connection(str(path), vfs=vfs)
    try:
        connection.pragma("locking_mode", "EXCLUSIVE")  # before the first look, or a WAL index comes to lie beside it
        if not fresh and connection.pragma("user_version") == 0:
            raise StoreBroken(f"{path} is empty: what it held is gone")
        _prepare(connection, path)
    except BaseException:
        connection.close(True)
        raise
    return connection


def _make(path: Path, vfs: str | None) -> None:
    """The file appears under its name with its tables in it, so that an empty one can only be a damaged one."""
    draft = path.with_name(f"{path.name}.new")
    leftovers = [draft.with_name(draft.name + ending) for ending in ("", "-wal", "-journal")]
    for each in leftovers:
        each.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    try:
        _connect(draft, vfs, fresh=True).close()
        draft.rename(path)
    finally:
        for each in leftovers:
            each.unlink(missing_ok=True)
    sync_folder(path.parent)


def _prepare(connection: apsw.Connection, path: Path) -> None:
    mode = connection.pragma("journal_mode", "WAL")
    if mode != "wal":
        raise StoreUnusable(f"{path}: this file system does not allow a write-ahead log (got {mode!r}); use a local disk")
    connection.pragma("synchronous", "FULL")
    connection.pragma("wal_autocheckpoint", 0)
    connection.pragma("cell_size_check", 1)
    connection.pragma("trusted_schema", 0)
    migrations.migrate(connection, where=str(path))


def _refuse(group: list[_Request], error: Exception) -> None:
    for request in group:
        request.done.set_exception(error)


def _translated(fault: apsw.Error, path: Path) -> StoreFull | StoreBroken | StoreUnusable:
    """What SQLite's error means to a caller. Anything that we cannot explain counts as broken."""
    text = f"{path}: {fault}"
    if isinstance(fault, apsw.FullError):
        return StoreFull(f"no space left for the journal, nothing was stored: {text}")
    if isinstance(fault, apsw.BusyError):
        return StoreUnusable(f"another program has the journal open: {text}")
    if isinstance(fault, apsw.CantOpenError | apsw.ReadOnlyError | apsw.PermissionsError):
        return FolderUnwritable(f"the journal cannot be written: {text}")
    return StoreBroken(f"the journal failed and acknowledges nothing more: {text}")
