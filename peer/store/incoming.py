"""Bytes on their way in: a temporary file that is hashed while it is written, and becomes a blob only when it is whole.

Decides nothing about caches. Everything here blocks and runs on a thread; a lock keeps a cancelled caller's clean-up from
overtaking the write that it left behind.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import blake3

from peer.ports import Corrupt
from peer.store.disk import FILE_MODE, disk_faults, free_bytes, remove
from protocol import limits
from protocol.errors import Invalid
from protocol.ids import Digest


class Incoming:
    """Invariants: `offset` bytes are in the file and in the hash; after any error but a cancelled call the file is gone."""

    def __init__(self, path: Path, *, expected: Digest | None, size: int | None, reserve_bytes: int) -> None:
        """Create `path`, or go on where an earlier transfer stopped: its bytes are hashed again, in pieces.

        Raises `StoreFull`, `StoreBroken`."""
        self.path = path
        self.expected = expected
        self.size = size
        self.offset = 0
        self._reserve_bytes = reserve_bytes
        self._hash = blake3.blake3()
        self._lock = threading.Lock()
        with disk_faults("begin a file"):
            if _is_unusable(path, size):
                remove(path)
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            self._hash_prefix()

    def write(self, chunk: bytes) -> bool:
        """Append; False, with nothing done, when the reserve does not allow it.

        Raises `StoreFull`, `StoreBroken`, `Corrupt` (more than announced), `Invalid` (`blob_too_large`)."""
        with self._lock:
            if self._handle >= 0 and free_bytes(self.path.parent) - len(chunk) < self._reserve_bytes:
                return False
            try:
                self._check_length(len(chunk))
                with disk_faults("store a file"):
                    _write_all(self._handle, chunk)
            except BaseException:
                self._discard()
                raise
            self._hash.update(chunk)
            self.offset += len(chunk)
            return True

    def seal(self) -> tuple[Digest, int]:
        """fsync, compare, make read-only; the file is complete under its temporary name.

        Raises `Corrupt`, `StoreFull`, `StoreBroken`; the bytes are dropped then."""
        with self._lock:
            try:
                self._check_content()
                with disk_faults("make a file durable"):
                    os.fsync(self._handle)
                    if hasattr(os, "fchmod"):
                        os.fchmod(self._handle, FILE_MODE)
            except BaseException:
                self._discard()
                raise
            self._close()
            return Digest(self._hash.hexdigest()), self.offset

    def stop(self, *, keep: bool) -> None:
        """Close the file; `keep` leaves its bytes."""
        with self._lock:
            if keep and self._handle >= 0:
                self._close()
            else:
                self._discard()

    def _hash_prefix(self) -> None:
        while piece := os.read(self._handle, limits.HASH_PIECE_BYTES):
            self._hash.update(piece)
            self.offset += len(piece)

    def _check_length(self, more: int) -> None:
        if self._handle < 0:
            raise ValueError("this transfer has ended")
        if self.size is not None and self.offset + more > self.size:
            raise Corrupt(f"more than the {self.size:,} bytes that were announced")
        if self.offset + more > limits.SCENE_BYTES_MAX:
            raise Invalid("blob_too_large", f"a file has at most {limits.SCENE_BYTES_MAX:,} bytes")

    def _check_content(self) -> None:
        if self._handle < 0:
            raise ValueError("this transfer has ended")
        if self.size is not None and self.offset != self.size:
            raise Corrupt(f"{self.offset:,} bytes instead of {self.size:,}")
        if self.expected is not None and self._hash.hexdigest() != self.expected:
            raise Corrupt(f"the bytes are {self._hash.hexdigest()}, not {self.expected}")

    def _discard(self) -> None:
        self._close()
        remove(self.path)

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _is_unusable(path: Path, size: int | None) -> bool:
    """A leftover that shares its bytes with a blob (a crash between link and unlink) or that is too long to go on with."""
    if not path.exists():
        return False
    status = path.stat()
    return status.st_nlink > 1 or (size is not None and status.st_size > size)


def _write_all(handle: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(handle, rest) :]


class Rehash:
    """A file read once more, piece by piece, so that whoever reads can pause in between. Nothing but `digest` comes of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = blake3.blake3()
        self._handle = -1

    def step(self) -> int:
        """Read a piece; its bytes, 0 at the end. Raises `OSError`."""
        if self._handle < 0:
            self._handle = os.open(self._path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        piece = os.read(self._handle, limits.HASH_PIECE_BYTES)
        self._hash.update(piece)
        return len(piece)

    @property
    def digest(self) -> Digest:
        """Of what was read so far."""
        return Digest(self._hash.hexdigest())

    def close(self) -> None:
        """Let go of the file. Calling it again is harmless."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def hash_file(path: Path) -> tuple[Digest, int]:
    """(digest, size) of a file, after its bytes were made durable; reads in pieces.

    Raises `ValueError` for anything but a regular file: a symbolic link may point at what is not ours."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"{path} is not a regular file")
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(handle)
        hasher, size = blake3.blake3(), 0
        while piece := os.read(handle, limits.HASH_PIECE_BYTES):
            hasher.update(piece)
            size += len(piece)
        return Digest(hasher.hexdigest()), size
    finally:
        os.close(handle)


class Source:
    """A file that is opened on the thread that reads it first, so that a cancelled reader leaves nothing open."""

    def __init__(self, path: Path, start: int, *, hashes: bool) -> None:
        """`hashes`: also find out what was read."""
        self._path = path
        self._start = start
        self._sum = blake3.blake3() if hashes else None
        self._file: BinaryIO | None = None

    def read(self, length: int) -> bytes:
        if self._file is None:
            self._file = self._path.open("rb")
            self._file.seek(self._start)
            with suppress(OSError):  # the order of use survives a restart in the access time, also on noatime disks
                os.utime(self._path, ns=(time.time_ns(), self._path.stat().st_mtime_ns))
        piece = self._file.read(length)
        if self._sum is not None:
            self._sum.update(piece)
        return piece

    @property
    def digest(self) -> Digest | None:
        """Of everything that was read so far, None when nobody wanted to know."""
        return None if self._sum is None else Digest(self._sum.hexdigest())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
