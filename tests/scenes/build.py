"""Real .blend files for tests, each made by a real Blender in a process of its own and kept for the rest of the run.

`build(name, folder, home)` copies the scene and whatever lies beside it into `folder`. `home` is "bpy" or "program".
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

import pytest

Home = Literal["bpy", "program"]

MAKE = Path(__file__).with_name("make.py")
DEMO = Path(__file__).resolve().parents[2] / "scripts" / "demo_scene.py"
MADE_BY_BLENDER = (
    "animated",
    "quick",
    "no_camera",
    "missing_texture",
    "with_asset",
    "video_output",
    "stereo",
    "file_output",
    "heavy",
)
MADE_OF_BYTES = ("truncated", "not_blend", "too_new")
NAMES = (*MADE_BY_BLENDER, *MADE_OF_BYTES)
BUILD_S_MAX = 110

_kept: dict[tuple[str, Home], Path] = {}


def homes() -> list[Home]:
    """The homes in which there is a Blender here, without importing it."""
    there: list[Home] = []
    if importlib.util.find_spec("bpy") is not None:
        there.append("bpy")
    if shutil.which("blender") is not None:
        there.append("program")
    return there


def any_home() -> Home:
    """A home with a Blender. Without one the test is skipped; under CI it fails."""
    found = homes()
    if not found:
        text = "there is no Blender here: neither the module bpy nor the program blender"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    return found[0]


def build(name: str, folder: Path, home: Home) -> Path:
    """Put the scene into `folder` as `scene.blend`, with its assets beside it; the scene's path."""
    source = _kept.get((name, home)) or _make(name, home)
    shutil.copytree(source, folder, dirs_exist_ok=True)
    return folder / "scene.blend"


def _make(name: str, home: Home) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="rendermesh-scenes-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "scene.blend"
    match name:
        case "not_blend":
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
        case "truncated":
            whole = _quick(home)
            path.write_bytes(whole[: len(whole) * 2 // 3])
        case "too_new":
            path.write_bytes(as_version_9_9(_quick(home)))
        case _:
            run_blender(home, MAKE, name, str(path))
    _kept[name, home] = folder
    return folder


def _quick(home: Home) -> bytes:
    source = _kept.get(("quick", home)) or _make("quick", home)
    return (source / "scene.blend").read_bytes()


def as_version_9_9(blend: bytes) -> bytes:
    """The same file, saying that Blender 9.9 saved it; for the header of either generation."""
    patched, count = re.subn(rb"\A(BLENDER(?:\d\d)?[_-](?:\d\d)?[vV])(\d{4}|\d{3})", _nine, blend)
    assert count == 1, blend[:20]
    return patched


def _nine(found: re.Match[bytes]) -> bytes:
    return found[1] + (b"0909" if len(found[2]) == 4 else b"909")


def run_blender(home: Home, script: Path, *arguments: str, **variables: str) -> str:
    """Run a script in a Blender of that home, with these variables besides; what it printed. Fails the test with it when the
    script fails."""
    if home == "bpy":
        command = [sys.executable, str(script), "--", *arguments]
    else:
        program = shutil.which("blender")
        assert program is not None
        command = [program, "-b", "--factory-startup", "--python-exit-code", "17", "-P", str(script), "--", *arguments]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S_MAX, check=False, env=environment)
    assert done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout
