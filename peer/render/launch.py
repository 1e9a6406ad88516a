"""Started by its path, as a process of its own: makes itself a well-behaved child of the daemon, then becomes the renderer.

Runs in a fresh interpreter, so that nothing has to run between fork and exec inside the daemon with its threads. One JSON
argument: `parent` (pid), `niceness`, `memory_bytes` (or null), and where wanted `cpus` (their numbers), `seal` (bwrap gets a
filter of system calls along) and `confine`: the paths that it may `run`, `read`, `write`, `list` and `use` (devices), nothing
else from then on. Then the command to become.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import types
from pathlib import Path
from typing import Any, NoReturn

UNCONFINED_EXIT = 126
"""Exit code when it cannot confine itself as told; it has then become nothing."""


def lend_names(folder: Path) -> None:
    """Make `peer.render.confine` importable from `folder` without the rest of the daemon."""
    for name, paths in (("peer", []), ("peer.render", [str(folder)])):
        module = types.ModuleType(name)
        module.__path__ = paths
        sys.modules[name] = module


def prepare(wishes: dict[str, Any]) -> None:
    """Die with the parent, step back, accept limits. What a platform lacks is left out."""
    from peer.render.confine import die_with, step_back

    die_with(wishes["parent"])
    step_back(niceness=wishes["niceness"])
    with contextlib.suppress(ImportError, OSError, ValueError):
        limit(wishes["memory_bytes"])
    if wishes.get("cpus"):
        with contextlib.suppress(AttributeError, OSError):
            os.sched_setaffinity(0, wishes["cpus"])


def limit(memory_bytes: int | None) -> None:
    """No core dumps; private writable memory bounded (RLIMIT_DATA: shared libraries and files do not count)."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def confine(places: dict[str, list[str]]) -> None:
    """Give up root's powers, then everything but these paths, then sockets and the like. Raises `OSError`."""
    from peer.render import landlock, seccomp

    landlock.give_up_capabilities()
    landlock.restrict(
        (
            (landlock.READ | landlock.EXECUTE, places["run"]),
            (landlock.READ, places["read"]),
            (landlock.WRITE, places["write"]),
            (landlock.READ_DIR, places["list"]),
            (landlock.USE, places["use"]),
        )
    )
    seccomp.refuse()


def sealed(command: list[str]) -> list[str]:
    """The command of bwrap with the filter for what it starts; it reads that from a descriptor. Raises `OSError`."""
    from peer.render import seccomp

    rules = os.memfd_create("rules", 0)  # stays open across exec
    os.write(rules, seccomp.program(seccomp.machine()))
    os.lseek(rules, 0, os.SEEK_SET)
    return [command[0], "--seccomp", str(rules), *command[1:]]


def main(arguments: list[str]) -> None:
    """Become `arguments[1:]`; exit code 127 when there is no such program."""
    lend_names(Path(__file__).resolve().parent)
    wishes, command = json.loads(arguments[0]), arguments[1:]
    prepare(wishes)
    try:
        if wishes.get("confine") is not None:
            confine(wishes["confine"])
        if wishes.get("seal"):
            command = sealed(command)
    except OSError as error:
        _give_up(f"cannot confine itself: {error.strerror}", UNCONFINED_EXIT)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        _give_up(f"cannot start {command[0]}: {error.strerror}", 127)


def _give_up(text: str, code: int) -> NoReturn:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
