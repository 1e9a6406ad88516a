"""Started by its path, as a process of its own: makes itself a well-behaved child of the daemon, then becomes the renderer.

Runs in a fresh interpreter, so that nothing has to run between fork and exec inside the daemon with its threads. One JSON
argument: `parent` (pid), `niceness`, `memory_bytes` (or null). Then the command to become.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import types
from pathlib import Path
from typing import Any


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


def limit(memory_bytes: int | None) -> None:
    """No core dumps; private writable memory bounded (RLIMIT_DATA: shared libraries and files do not count)."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def main(arguments: list[str]) -> None:
    """Become `arguments[1:]`; exit code 127 when there is no such program."""
    lend_names(Path(__file__).resolve().parent)
    prepare(json.loads(arguments[0]))
    try:
        os.execvp(arguments[1], arguments[1:])
    except OSError as error:
        sys.stderr.write(f"cannot start {arguments[1]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
