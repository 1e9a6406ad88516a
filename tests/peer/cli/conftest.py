"""A fake mesh, an account of its own, and peerctl in this process or as a program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from peer.cli import bounds, gathering, main
from peer.cli.tracing import Traced
from tests.peer.cli.fakemesh import FakeMesh, FakePeer

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Ran:
    """What a run of peerctl left behind."""

    code: int
    out: str
    err: str


Peerctl = Callable[..., Ran]


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account without settings, and polls that follow one another at once."""
    for name in ("PEERCTL_HOST", "PEERCTL_TOKEN", "PEERCTL_TOKEN_FILE", "PEERCTL_CACERT", "PEER_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PEERCTL_DISCOVERY", "none")  # other peers may run on this machine
    for name in ("DATA", "STATE", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / "account" / name.lower()))
    monkeypatch.setattr(bounds, "POLL_FIRST_S", 0.01)
    monkeypatch.setattr(bounds, "POLL_MAX_S", 0.02)
    monkeypatch.setattr(bounds, "WATCH_S", 0.02)
    monkeypatch.setattr(gathering, "trace", lambda _: Traced(references=[], asked=1))  # scenes of these tests are a few bytes
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path / "account"


@pytest.fixture
def mesh() -> Iterator[FakeMesh]:
    """A mesh without peers."""
    made = FakeMesh()
    yield made
    made.close()


@pytest.fixture
def peer(mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> FakePeer:
    """The one peer of the mesh, named in PEERCTL_HOST."""
    started = mesh.start_peer("render1")
    monkeypatch.setenv("PEERCTL_HOST", started.address)
    return started


@pytest.fixture
def peerctl(capsys: pytest.CaptureFixture[str]) -> Peerctl:
    """Run peerctl in this process."""

    def run(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        code = main.run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


@pytest.fixture
def program() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start peerctl as a program of its own; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "peer.cli", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A file that passes for a scene."""
    path = tmp_path / "work" / "castle.blend"
    path.write_bytes(b"BLENDER-v500" + bytes(5000))
    return path
