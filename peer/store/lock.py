"""One process per data folder: an advisory lock that the kernel lets go of when the process dies, however it dies."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from peer.store.errors import FolderTaken, FolderUnwritable

_BUSY = frozenset((errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK))


class FolderLock:
    """Held from construction until `release`. The file stays behind: deleting a lock file lets two in."""

    def __init__(self, path: Path) -> None:
        """Lock `path`, and write this process's id into it.

        Raises `FolderTaken` with the holder's id, `FolderUnwritable` when the file cannot be made."""
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as fault:
            raise FolderUnwritable(f"cannot write {path}: {fault.strerror}") from fault
        try:
            _lock(self._handle)
        except OSError as fault:
            holder = _holder(self._handle)
            os.close(self._handle)
            if fault.errno not in _BUSY:
                raise FolderUnwritable(f"cannot lock {path}: {fault.strerror}; use a local disk") from fault
            raise _taken(path.parent, holder) from fault
        _write_holder(self._handle, path)

    def release(self) -> None:
        """Let the next one in. Calling it again is harmless."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _taken(folder: Path, pid: int | None) -> FolderTaken:
    who = "another process" if pid is None else f"process {pid}"
    return FolderTaken(f"the data folder {folder} is in use by {who}; stop it, or choose another data folder", pid=pid)


def _write_holder(handle: int, path: Path) -> None:
    try:
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, f"{os.getpid()}\n".encode())
    except OSError as fault:
        os.close(handle)
        raise FolderUnwritable(f"cannot write {path}: {fault.strerror}") from fault


def _holder(handle: int) -> int | None:
    os.lseek(handle, 0, os.SEEK_SET)
    text = os.read(handle, 32).strip()
    return int(text) if text.isdigit() else None


if sys.platform == "win32":
    import msvcrt

    _FAR = 2**30  # Windows locks are mandatory: a byte that nobody reads, so that the id stays readable

    def _lock(handle: int) -> None:
        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
