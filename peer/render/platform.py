"""What a renderer's process group looks like from outside, on this platform: signals, CPU time, memory, who died of what.

The only module on the daemon's side that knows platforms; each function has an honest fallback. Decides nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import psutil

_VMSTAT = Path("/proc/vmstat")


def signal_group(pid: int, *, kill: bool) -> None:
    """Send SIGTERM, or SIGKILL, to the process group that `pid` leads. Where there are no groups: to its process tree."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL if kill else signal.SIGTERM)
        return
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            process.kill() if kill else process.terminate()


def cpu_seconds(pid: int) -> float:
    """CPU time of the process and its descendants so far; 0 when it is gone. Reads the process table: call it on a thread."""
    total = 0.0
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def resident_bytes(pid: int) -> int:
    """Memory of the process and its descendants that lies in RAM, in bytes; 0 when it is gone. A sandbox stands between."""
    total = 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            total += int(process.memory_info().rss)
    return total


def cpu_share(count: int | None, turn: int) -> tuple[int, ...] | None:
    """The numbers of `count` processors, others with each turn; None where that is all of them, or the platform cannot say."""
    if count is None or not hasattr(os, "sched_getaffinity"):
        return None
    ours = sorted(os.sched_getaffinity(0))
    if count >= len(ours):
        return None
    return tuple(sorted(ours[(turn * count + index) % len(ours)] for index in range(count)))


def born_at(pid: int) -> float | None:
    """When the process was started, in seconds, comparable only with another answer of this function; None when it is gone."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def leads_group(pid: int) -> bool:
    """Whether `pid` leads a process group of its own, as every renderer does."""
    if os.name != "posix":
        return True
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def out_of_memory_kills() -> int:
    """How often the kernel has ended a process for lack of memory since it booted; 0 where it does not say."""
    if not sys.platform.startswith("linux"):
        return 0
    with contextlib.suppress(OSError, ValueError):
        for line in _VMSTAT.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def ended_by(returncode: int) -> str:
    """How a process ended, for people: `signal SIGKILL` or `exit code 1`."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"signal {-returncode}"


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []
