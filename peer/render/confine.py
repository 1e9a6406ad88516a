"""How a child process of a renderer limits itself, on the platforms that can: death with the parent, limits, priority.

Called inside the child, before it reads anything foreign. Standard library only and nothing of the daemon. Where a
platform lacks one of these the function says False; the callers go on, since a pipe that closes ends the child too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_OOM_SCORE_ADJ: Final = "500"


def die_with(parent_pid: int) -> bool:
    """Have the kernel kill this process when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG).

    Exits at once when `parent_pid` is no longer the parent: it died before this call. The daemon starts children
    from its main thread, whose end is the daemon's end.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    done: int = libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(0)
    return done == 0


def step_back(*, niceness: int) -> None:
    """Lower this process's priority, and make it the first to go when memory runs out."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(niceness)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE_ADJ)


def limit(*, memory_bytes: int, file_bytes: int, open_files: int) -> bool:
    """Set hard limits on address space, on the size of any file written and on descriptors; no core dumps."""
    try:
        import resource
    except ImportError:
        return False
    wanted = (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, open_files),
        (resource.RLIMIT_CORE, 0),
    )
    for what, value in wanted:
        _lower(what, value)
    return True


def allow_cpu(seconds: int) -> bool:
    """Allow `seconds` more of CPU time from now on; SIGXCPU ends the process when they are used up."""
    try:
        import resource
    except ImportError:
        return False
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(used.ru_utime + used.ru_stime) + 1 + seconds
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    return True


def _lower(what: int, value: int) -> None:
    import resource

    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(what, (value, value))
