"""The client as a program against the daemon's own HTTP layer: both sides of the contract, with nothing in between."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.cli.failures import CliError
from peer.cli.multipart import FilePart, Form
from peer.web.multipart import parse_disposition
from tests.peer.web.conftest import SCENE, WebPeer, farm, peer

__all__ = ["farm", "peer"]  # fixtures
ROOT = Path(__file__).parents[2]
Peerctl = Callable[..., Awaitable[subprocess.CompletedProcess[str]]]


@pytest.fixture
def peerctl(peer: WebPeer, tmp_path: Path) -> Peerctl:
    """Run peerctl against the peer, in a folder and an account of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PEER")}
    env |= {"PYTHONPATH": str(ROOT), "PEERCTL_HOST": f"127.0.0.1:{peer.client.port}"}
    env |= {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("DATA", "STATE", "CONFIG")}

    async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "peer.cli", *arguments]
        return await asyncio.to_thread(
            subprocess.run, command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

    return run


async def test_a_scene_with_odd_names_is_submitted(peer: WebPeer, peerctl: Peerctl, tmp_path: Path) -> None:
    (tmp_path / 'my "castle" é.blend').write_bytes(SCENE)
    (tmp_path / "textures").mkdir()
    (tmp_path / "textures" / 'br"ick%22 é.png').write_bytes(b"brick")
    flags = "-f 1-4 --priority 70 --samples 16 --resolution 320x180 --label show=a --asset textures -o name"
    ran = await peerctl("submit", 'my "castle" é.blend', *flags.split(), "--setting", "a=1")
    assert ran.returncode == 0, ran.stderr
    (view,) = peer.mesh.jobs()
    assert (ran.stdout.strip(), view.name, view.priority) == (view.id, 'my "castle" é', 70)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text('\\"%20DA;= ', max_size=20))
def test_a_file_s_name_arrives_as_it_is_or_is_refused_before_it_is_sent(name: str) -> None:
    with tempfile.NamedTemporaryFile() as file:
        try:
            form = Form([], [FilePart("asset", name, Path(file.name))])
        except CliError:
            return
        head = b"".join(form.chunks()).partition(b"\r\n\r\n")[0].decode()
    assert parse_disposition(head.partition("Content-Disposition: ")[2].partition("\r\n")[0]) == ("asset", name)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-f", "48-1"], 10, "code: bad_frames"),
        (["-f", "abc"], 10, "code: bad_frames"),
        (["-f", "1-1000000,-9--1"], 10, "code: too_many_frames"),
        (["--engine", "WARP"], 10, "engine"),
        (["--label", "nothing"], 10, "label"),
    ],
)
async def test_what_the_mesh_refuses(peerctl: Peerctl, tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    (tmp_path / "castle.blend").write_bytes(SCENE)
    ran = await peerctl("submit", "castle.blend", *arguments)
    assert ran.returncode == code, ran.stderr
    assert said in ran.stderr


async def test_a_null_job_through_every_verb(peer: WebPeer, peerctl: Peerctl, tmp_path: Path) -> None:
    submitted = await peerctl(
        "submit", "--renderer", "null", "--setting", "frame_ms=30", "-f", "1-3", "--name", "a b/c", "--json"
    )
    assert submitted.returncode == 0, submitted.stderr
    job = json.loads(submitted.stdout)["id"]
    for arguments in (["status"], ["jobs", "-o", "wide"], ["job", "a b/c"], ["job", "@last"], ["frames", job[:8]], ["why", job],
                      ["logs", job], ["events"], ["peers"], ["config", "show", "--origin"], ["priority", job, "90"],
                      ["pause", job], ["resume", job], ["retry", job, "-f", "1-2"], ["retry", job, "--include-done"],
                      ["resume", job, "--accept", "missing_image"], ["drain", "one"], ["undrain", "one"], ["peer", "one"],
                      ["cancel", job]):  # fmt: skip
        ran = await peerctl(*arguments)
        assert ran.returncode == 0, (arguments, ran.stdout, ran.stderr)
    assert (await peerctl("job", "nothing")).returncode == 3


async def test_waiting_and_fetching(peer: WebPeer, peerctl: Peerctl, tmp_path: Path) -> None:
    job = (await peer.submit("1-3", name="castle"))["id"]
    for frame in (1, 2, 3):
        peer.mesh.finish(job, frame, f"picture {frame}".encode())
    peer.mesh.become(job, state="completed")
    ran = await peerctl("fetch", "castle", "--json")
    assert ran.returncode == 0, ran.stderr
    files = json.loads(ran.stdout)["files"]
    assert [(tmp_path / file).read_bytes() for file in files] == [b"picture 1", b"picture 2", b"picture 3"]
    again = await peerctl("fetch", "castle", "--json")
    assert (json.loads(again.stdout)["fetched"], json.loads(again.stdout)["kept"]) == (0, 3)
    assert (await peerctl("job", "castle", "--watch")).returncode == 0
    assert "rendered" in (await peerctl("logs", "castle", "--frame", "2")).stdout
