"""Disks that fail: a SQLite file layer whose writes and fsyncs fail when told, and a file that eats the free space."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw


@dataclass
class FailingDisk(apsw.VFS):
    """Registers itself as `name`. While `failing` holds a method's name (xSync, xWrite), that method raises an I/O error."""

    name: str = "failing"
    failing: set[str] = field(default_factory=set)
    syncs: int = 0

    def __post_init__(self) -> None:
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _FailingFile(self, name, flags)


class _FailingFile(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk

    def xWrite(self, data: Any, offset: int) -> None:
        self._fail("xWrite")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._disk.syncs += 1
        self._fail("xSync")
        super().xSync(flags)

    def _fail(self, method: str) -> None:
        if method in self._disk.failing:
            raise apsw.IOError(f"{method}: disk I/O error")


def fill(folder: Path, *, leave_bytes: int = 0) -> Path:
    """Use up the free space of a small disk; unlink the returned file to get it back."""
    eater = folder / "eater"
    status = os.statvfs(folder)
    room = status.f_bavail * status.f_frsize - leave_bytes
    with eater.open("wb") as file:
        file.write(b"\xff" * max(room, 0))
    return eater
