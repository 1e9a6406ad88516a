"""Where the programs beside us are: the daemon, Blender and POV-Ray. Refuses to know what they do."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def peerd() -> list[str]:
    """The command that starts the daemon of this installation: the one beside our interpreter first."""
    beside = Path(sys.executable).with_name("peerd")
    found = str(beside) if beside.is_file() else shutil.which("peerd")
    return [found] if found else [sys.executable, "-m", "peer"]


def blender() -> str | None:
    """A Blender program on the PATH."""
    return shutil.which("blender")


def povray() -> str | None:
    """A POV-Ray program on the PATH."""
    return shutil.which("povray")
