"""Which renderer processes this daemon has started, on disk, so that the next daemon can end those that a crash left behind.

One small file per process. Knows nothing of what they render. A process is recognised by pid and by when it was started.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from peer.render import platform

_SAME_START_S = 2.0


@dataclass(frozen=True, slots=True)
class _Entry:
    pid: int
    born: float
    folder: str
    daemon: int
    daemon_born: float


class ProcessRegistry:
    """Pid files in `folder`. Invariant: a process is in it from right after its start until it has been waited for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, pid: int, folder: Path) -> None:
        """Remember a process that this daemon has just started, and the folder of its temporary files."""
        born, own = platform.born_at(pid), platform.born_at(os.getpid())
        if born is None or own is None:
            return
        row = {"pid": pid, "born": born, "folder": str(folder), "daemon": os.getpid(), "daemon_born": own}
        self._path(pid).write_text(json.dumps(row))

    def remove(self, pid: int) -> None:
        """Forget a process that has ended."""
        self._path(pid).unlink(missing_ok=True)

    def reap(self) -> list[int]:
        """End every process whose daemon is gone, with its group and its temporary files; their pids.

        Processes of living daemons stay.
        """
        ended = []
        for path in sorted(self._folder.glob("*.json")):
            entry = _read(path)
            if entry is not None and _is(entry.daemon, entry.daemon_born):
                continue
            if entry is not None and _is(entry.pid, entry.born) and platform.leads_group(entry.pid):
                platform.signal_group(entry.pid, kill=True)
                ended.append(entry.pid)
            if entry is not None:
                shutil.rmtree(entry.folder, ignore_errors=True)
            path.unlink(missing_ok=True)
        return ended

    def _path(self, pid: int) -> Path:
        return self._folder / f"{pid}.json"


def _is(pid: int, born: float) -> bool:
    now = platform.born_at(pid)
    return now is not None and abs(now - born) <= _SAME_START_S


def _read(path: Path) -> _Entry | None:
    """An entry, or None for a file that a crash left half-written."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        row = json.loads(path.read_text())
        return _Entry(int(row["pid"]), float(row["born"]), str(row["folder"]), int(row["daemon"]), float(row["daemon_born"]))
    return None
