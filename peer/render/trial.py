"""Runs inside a sandbox that is tried: does its own work, then tries what a sandbox must refuse, and says how that went.

Started by its path with one JSON argument: `inside` (a folder of its own), `outside` (a folder with the file `secret`),
`port` (where somebody listens on loopback). Standard library only and nothing of the daemon.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CONNECT_S = 2.0


def attempt(job: dict[str, Any]) -> dict[str, Any]:
    """What could be done: `works` is its own work, the other three are leaks."""
    why = _own_work(Path(job["inside"]))
    outside = Path(job["outside"])
    return {
        "works": not why,
        "why": why,
        "reads": _can(lambda: (outside / "secret").read_bytes()),
        "writes": _can(lambda: (outside / "written").write_bytes(b"x")),
        "connects": _can(lambda: socket.create_connection(("127.0.0.1", job["port"]), timeout=_CONNECT_S).close()),
    }


def _own_work(folder: Path) -> str:
    """Why a file cannot be made, renamed, read and removed in the folder; empty when it can."""
    try:
        first, second = folder / "first", folder / "deeper" / "second"
        second.parent.mkdir()
        first.write_bytes(b"x")
        first.rename(second)
        second.read_bytes()
        second.unlink()
    except OSError as error:
        return str(error)
    return ""


def _can(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    print(json.dumps(attempt(json.loads(sys.argv[1]))), flush=True)
