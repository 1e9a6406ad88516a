"""The attic on the disk: a file without a name in the scratch folder, gone with the process that opened it.

Decides where in the file a piece lies, and when it stays in memory instead: until it is written, and for good on a disk that is
full or refuses it, for what is lent to the attic must not fail anything. Refuses to know what the pieces are.

A thread writes, so that a disk that stalls holds nobody up; pieces are read on the event loop, mostly from the page cache.
Nothing is fsynced: what must survive is in the journal.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final

from peer.ports import StoreBroken
from peer.store.disk import free_bytes
from protocol import limits

BLOCK: Final = 4096
SUM_BYTES: Final = 4


class FileAttic:
    """Satisfies `protocol.ledger.attic.Attic`. Invariants: a place holds its piece until it is dropped; what comes back is what
    was put, or `StoreBroken`."""

    def __init__(
        self, folder: Path, *, reserve_bytes: int = limits.STORE_RESERVE_BYTES, batch: int = limits.ATTIC_BATCH,
        on_broken: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """`reserve_bytes` stay free on the disk; `on_broken` is told when it gives back other bytes than it took."""
        self.batch = batch
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._on_broken = on_broken
        self._file: IO[bytes] | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="attic")
        self._memory: dict[int, bytes] = {}  # pieces that are not in the file, or not yet
        self._offsets: dict[int, tuple[int, int]] = {}  # where a piece lies or is going to, and its bytes
        self._free: dict[int, list[int]] = {}  # where pieces of so many blocks lay that were dropped
        self._end = 0
        self._serial = 0

    @property
    def file_bytes(self) -> int:
        """How long the file is, or will be."""
        return self._end

    @property
    def memory_bytes(self) -> int:
        """Bytes of the pieces that are in memory."""
        return sum(map(len, self._memory.values()))

    def put(self, data: bytes) -> int:
        """Take a piece in; never fails."""
        self._serial += 1
        place = self._serial
        blocks = _blocks(len(data))
        free = self._free.get(blocks)
        offset = free.pop() if free else self._end
        self._end = max(self._end, offset + blocks * BLOCK)
        self._memory[place], self._offsets[place] = data, (offset, len(data))
        self._writer.submit(self._write, place, offset, data)
        return place

    def get(self, place: int) -> bytes:
        """The piece. Raises `StoreBroken` when the disk does not give back what it took."""
        data = self._memory.get(place)
        if data is not None:
            return data
        offset, length = self._offsets[place]
        assert self._file is not None
        try:
            found = os.pread(self._file.fileno(), SUM_BYTES + length, offset)
        except OSError as fault:
            raise self._broken(f"cannot read back what was put aside: {fault.strerror}") from fault
        data = found[SUM_BYTES:]
        if len(data) != length or found[:SUM_BYTES] != _sum(data):
            raise self._broken("gives back other bytes than were put aside")
        return data

    def drop(self, place: int) -> None:
        """The piece is not wanted any more; its room is."""
        offset, length = self._offsets.pop(place)
        self._memory.pop(place, None)
        self._free.setdefault(_blocks(length), []).append(offset)

    def settle(self) -> None:
        """Wait until everything is written that can be; blocks. For tests and measurements."""
        self._writer.submit(int).result()

    def close(self) -> None:
        """Give the file up; blocks while a piece is being written. Calling it again is harmless."""
        self._writer.shutdown(wait=True, cancel_futures=True)
        if self._file is not None:
            self._file.close()
            self._file = None

    # on the writer's thread

    def _write(self, place: int, offset: int, data: bytes) -> None:
        """A piece whose room has been given to another meanwhile is overwritten by it, for there is one writer."""
        if not hasattr(os, "pwrite"):  # Windows: everything stays in memory
            return
        try:
            if free_bytes(self._folder) < self._reserve_bytes + len(data):
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            rest = _sum(data) + data
            while rest:
                written = os.pwrite(self._file.fileno(), rest, offset)
                rest, offset = rest[written:], offset + written
        except OSError:
            return
        self._memory.pop(place, None)

    def _broken(self, text: str) -> StoreBroken:
        reason = f"the disk of {self._folder} {text}"
        self._on_broken(reason)
        return StoreBroken(reason)


def _blocks(length: int) -> int:
    return -(-(SUM_BYTES + length) // BLOCK)


def _sum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(SUM_BYTES, "big")
