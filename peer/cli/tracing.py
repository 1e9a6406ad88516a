"""Asking the programs of this machine which files a scene uses: blender-asset-tracer, and Blender itself.

Both run as programs of their own: the tracer for its licence, Blender because a scene may end it. Decides nothing about what
is sent. Neither runs the scene's scripts.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from peer.cli import bounds, programs
from peer.cli.settings import child_environment

LISTING: Final = Path(__file__).parents[1] / "render" / "driver" / "listing.py"
TRACER: Final = "blender_asset_tracer"
HOW: Final = "pip install 'rendermesh[assets]' beside peerctl, or install Blender"
_MAGIC: Final = (b"BLENDER", b"\x28\xb5\x2f\xfd", b"\x1f\x8b")  # plain, zstandard, gzip
_LOST: Final = re.compile(r"Path (.+) does not exist for <BlockUsage")


@dataclass(frozen=True, slots=True)
class Reference:
    """A path that a .blend in `folder` holds; see `peer.render.driver.references`."""

    kind: str
    label: str
    raw: str
    folder: str
    pick: str = "file"
    names: tuple[str, ...] = ()
    needed: bool = True


@dataclass(slots=True)
class Traced:
    """`references` is None where no Blender has answered; `paths` are absolute; `lost` does not exist, says the tracer."""

    references: list[Reference] | None = None
    paths: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    asked: int = 0
    complaints: list[str] = field(default_factory=list)


def is_blend(path: Path) -> bool:
    """Whether a file begins as .blend files do."""
    try:
        with path.open("rb") as file:
            return file.read(7).startswith(_MAGIC)
    except OSError:
        return False


def trace(scene: Path) -> Traced:
    """Ask whoever is here, at the same time. Who cannot answer is named in `complaints`."""
    found, scene = Traced(), scene.absolute()  # the programs work in a folder of their own
    with ThreadPoolExecutor(2) as pool:
        tracer, blender = pool.submit(_ask_tracer, scene), pool.submit(_ask_blender, scene)
        for answer in (tracer.result(), blender.result()):
            found.asked += answer.asked
            found.references = answer.references if answer.references is not None else found.references
            found.paths += answer.paths
            found.own += answer.own
            found.lost += answer.lost
            found.complaints += answer.complaints
    return found


def _ask_tracer(scene: Path) -> Traced:
    if importlib.util.find_spec(TRACER) is None:
        return Traced()
    done = _run([sys.executable, "-m", TRACER, "list", str(scene)])
    if isinstance(done, str) or done.returncode != 0:
        return Traced(complaints=[f"blender-asset-tracer cannot read {scene.name}: {_why(done)}"])
    paths = [line[4:] for line in done.stdout.split("\n") if line.startswith("    ")]
    return Traced(paths=paths, lost=_LOST.findall(done.stderr), asked=1)


def _ask_blender(scene: Path) -> Traced:
    complaints = []
    for name, command in _blenders():
        with tempfile.TemporaryDirectory(prefix="peerctl-") as folder:
            answer = Path(folder) / "answer.json"
            done = _run([*command, "--", str(scene), str(answer)])
            if not isinstance(done, str) and done.returncode == 0 and answer.is_file():
                return _answer(json.loads(answer.read_bytes()))
        complaints.append(f"{name} cannot list the files of {scene.name}: {_why(done)}")
    return Traced(complaints=complaints)


def _blenders() -> list[tuple[str, list[str]]]:
    found = []
    if importlib.util.find_spec("bpy") is not None:
        found.append(("bpy", [sys.executable, "-I", str(LISTING)]))
    program = programs.blender()
    if program is not None:
        quiet = ["-b", "--factory-startup", "--disable-autoexec", "--python-exit-code", "17", "-noaudio"]
        found.append(("blender", [program, *quiet, "-P", str(LISTING)]))
    return found


def _answer(rows: dict[str, Any]) -> Traced:
    references = [Reference(**{**row, "names": tuple(row["names"])}) for row in rows["references"]]
    return Traced(references=references, paths=rows["paths"], own=rows["own"], asked=1)


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str] | str:
    """What became of it; a text when it did not even start or did not end in time."""
    with tempfile.TemporaryDirectory(prefix="peerctl-") as folder:  # the tracer shortens names below where it is started
        try:
            return subprocess.run(
                command, capture_output=True, text=True, encoding="utf-8", errors="surrogateescape", check=False, cwd=folder,
                env={**child_environment(), "PYTHONIOENCODING": "utf-8:surrogateescape"}, timeout=bounds.TRACE_S_MAX,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"no answer within {bounds.TRACE_S_MAX:.0f} s"
        except OSError as error:
            return error.strerror or str(error)


def _why(done: subprocess.CompletedProcess[str] | str) -> str:
    if isinstance(done, str):
        return done
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line and "script failed" not in line] or lines
    return telling[-1][:300] if telling else f"exit code {done.returncode}"
