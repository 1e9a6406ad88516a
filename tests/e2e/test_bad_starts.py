"""Peers that cannot start say why, and with which line they would; peers that lack something join and say so."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.mesh import END_S, READY_S, Mesh, PeerProcess
from tests.waiting import wait_until

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


async def refused(peer: PeerProcess) -> str:
    """Start a peer that must end with 2; what it says."""
    peer.begin()
    assert await peer.ended() == 2, peer.log
    assert "Traceback" not in peer.log
    return peer.log


def suggested(text: str) -> list[str]:
    """The command line that a message offers, as arguments."""
    found = re.search(r"\bpeerd (--.*?)$", text, re.MULTILINE)
    assert found is not None, text
    return shlex.split(found[1])


async def works(mesh: Mesh, name: str, arguments: list[str]) -> None:
    """That very line starts a peer (in the test's home, with the null renderer)."""
    peer = mesh.prepare(name, join=None)
    peer.arguments = (*arguments, "--renderer", "null")
    peer.begin()
    await wait_until(lambda: peer.is_ready, READY_S)


async def test_a_sandbox_that_does_not_work_ends_with_2_and_what_would_help(mesh):
    peer = mesh.prepare("peer", "--sandbox", "bwrap")
    peer.environment = {**peer.environment, "PATH": "/nowhere"}
    text = await refused(peer)
    assert "--sandbox bwrap does not work here: bwrap: it is not installed (as root: apt-get install -y bubblewrap)" in text


async def test_a_taken_port_ends_with_2_and_a_line_that_works(mesh):
    first = await mesh.start("first")
    second = mesh.prepare("second", "--port", str(first.port))
    text = await refused(second)
    assert f"ort {first.port}" in text
    await works(mesh, "third", suggested(text))


async def test_a_taken_folder_ends_with_2_and_a_line_that_works(mesh):
    first = await mesh.start("first")
    second = mesh.prepare("second", "--data-dir", str(first.data_dir))
    text = await refused(second)
    assert str(first.data_dir) in text
    await works(mesh, "third", suggested(text))


async def test_a_folder_that_cannot_be_written_ends_with_2_and_names_it(mesh):
    place = mesh.folder / "file"
    place.write_text("a file, no folder")
    text = await refused(mesh.prepare("peer", "--data-dir", str(place / "data")))
    assert str(place) in text
    await works(mesh, "other", suggested(text))


async def test_an_unknown_setting_ends_with_2_and_the_nearest_known_one(mesh):
    assert "'--slots'" in await refused(mesh.prepare("peer", "--slost", "2"))


async def test_a_door_to_other_machines_without_a_key_stays_shut(mesh):
    text = await refused(mesh.prepare("peer", "--bind", "0.0.0.0"))
    assert "peerctl keygen" in text


@pytest.fixture
def small_disk(mesh: Mesh) -> Iterator[Path]:
    """A file system of 400 MiB, which only root can make."""
    if not ROOT:
        pytest.skip("only root can mount a file system of its own")
    place = mesh.folder / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(place)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode()}")
    try:
        yield place
    finally:
        mesh.close()
        subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=END_S)


async def test_a_full_disk_refuses_the_start_and_names_the_folder(mesh, small_disk):
    fill(small_disk, keep_bytes=0)
    text = await refused(mesh.prepare("peer", "--data-dir", str(small_disk / "data")))
    assert str(small_disk / "data") in text
    assert "full" in text or "space" in text.lower()


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 500], ids=["emptied", "overwritten"])
async def test_a_journal_that_was_damaged_ends_with_2_and_says_what_to_do(mesh, damage):
    peer = await mesh.start("peer")
    await mesh.together([peer])
    await peer.until_ended(peer.submit(frames="1-3", settings={"frame_ms": 1}))
    peer.kill()
    (peer.data_dir / "journal.db-wal").unlink(missing_ok=True)
    (peer.data_dir / "journal.db").write_bytes(damage)
    text = await refused(peer)
    assert f"Move the data folder {peer.data_dir} away" in text


async def test_a_disk_that_fills_up_turns_the_peer_critical_and_it_recovers_when_there_is_room(mesh, small_disk):
    """What cannot be kept is refused with 503, never accepted and dropped; the peer answers all the while."""
    peer = await mesh.start("peer", "--data-dir", str(small_disk / "data"))
    await mesh.together([peer])
    before = peer.submit(frames="1-3", settings={"frame_ms": 1})
    await peer.until_ended(before)
    ballast = fill(small_disk, keep_bytes=0)
    await wait_until(lambda: peer.ask("GET", "/health").status == 503)
    answer = peer.ask(
        "POST", "/api/v1/jobs", fields=[("scene", ("big.blend", b"BLENDER-v405" + os.urandom(4_000_000)))], headers={}
    )
    assert answer.status == 503, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    assert peer.job(before)["state"] == "completed"
    ballast.unlink()
    await wait_until(lambda: peer.ask("GET", "/health").status != 503)
    after = peer.submit(frames="1-3", settings={"frame_ms": 1})
    assert (await peer.until_ended(after))["state"] == "completed"


def fill(place: Path, *, keep_bytes: int) -> Path:
    """Fill a file system but for `keep_bytes`; the file that does."""
    path = place / "ballast"
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - keep_bytes))
    try:
        with (place / "rest").open("wb", buffering=0) as rest:
            while keep_bytes == 0:
                rest.write(bytes(4096))
    except OSError:
        pass
    return path


async def test_a_peer_without_a_renderer_joins_says_so_and_its_job_is_rendered_elsewhere(mesh):
    """It accepts, stores and serves; inspection and frames are another's."""
    worker = await mesh.start("worker")
    bare = await mesh.start("bare", "--blender", "/nowhere/blender", renderer="blender")
    await wait_until(lambda: len(bare.peers()) == 2 and bare.peers()[0]["capabilities"] + bare.peers()[1]["capabilities"] != [])
    await wait_until(lambda: bare.events("renderers_found") != [])
    me = bare.get(f"/peers/{bare.id}")
    assert me["capabilities"] == []
    assert "no program 'blender' at /nowhere/blender" in " ".join(me["renderer_reasons"])
    assert [check["status"] for check in me["checks"] if check["name"] == "renderer"] == ["warning"]
    assert bare.ask("GET", "/health").status == 429
    job = bare.submit(frames="1-6", settings={"frame_ms": 20})
    assert (await bare.until_ended(job))["state"] == "completed"
    assert {row["peer"] for row in bare.frames(job)} == {worker.id}
    assert bare.job(job)["owner"] == bare.id
    assert bare.ask("GET", f"/api/v1/jobs/{job}/frames/3").body.startswith(b"\x89PNG")


async def test_a_job_that_nobody_can_render_waits_and_says_why(mesh):
    bare = await mesh.start("bare", "--blender", "/nowhere/blender", renderer="blender")
    await wait_until(lambda: bare.events("renderers_found") != [])
    job = bare.submit(frames="1-6")
    await wait_until(lambda: bare.job(job)["waiting_because"] != [])
    done = mesh.peerctl(bare, "why", job)
    assert done.returncode == 0, done.stderr
    assert "null" in done.stdout
