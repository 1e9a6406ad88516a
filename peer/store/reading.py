"""A blob's file while somebody reads it: opened late, in pieces, its use kept in the access time."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import blake3

from protocol.ids import Digest


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
