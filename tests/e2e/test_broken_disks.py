"""Disks that fail under a real peer: fsync and fdatasync answer EIO (libfiu), a disk runs full and is freed again (tmpfs)."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from peer.store.retirement import MARK
from tests.e2e.mesh import Mesh, PeerProcess
from tests.waiting import wait_until

LIBRARIES = Path("/usr/lib/fiu")
PRELOADED = ("fiu_run_preload.so", "fiu_posix_preload.so")
JOB: dict[str, Any] = {"renderer": "null", "frames": "1-3", "settings": {"frame_ms": 1}}


def failing(mesh: Mesh) -> PeerProcess:
    """A peer whose calls of the C library can be told to fail."""
    if not all((LIBRARIES / name).exists() for name in PRELOADED):
        pytest.skip("Debian's fiu-utils is not installed")
    peer = mesh.prepare("peer")
    peer.environment["LD_PRELOAD"] = " ".join(str(LIBRARIES / name) for name in PRELOADED)
    peer.environment["FIU_CTRL_FIFO"] = str(mesh.folder / "fiu")
    return peer


def fail_from_now_on(mesh: Mesh, peer: PeerProcess, call: str) -> None:
    """Every `call` of the peer answers EIO."""
    command = ["fiu-ctrl", "-f", str(mesh.folder / "fiu"), "-c", f"enable name=posix/io/sync/{call},failinfo=5"]
    subprocess.run([*command, str(peer.running.pid)], check=True, timeout=20)


def try_anything(peer: PeerProcess, key: str) -> tuple[int, int]:
    """The status of a submission with a file (fsync) and of one without (fdatasync); 0 when the peer was gone."""
    statuses: list[int] = []
    scene = [("scene", ("a.blend", b"BLENDER-v405" + os.urandom(1000)))]
    for send in ({"fields": scene}, {"json_body": JOB}):
        try:
            statuses.append(peer.ask("POST", "/api/v1/jobs", headers={"Idempotency-Key": key}, **send).status)
        except urllib3.exceptions.HTTPError:
            statuses.append(0)
    return statuses[0], statuses[1]


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
async def test_after_an_io_error_nothing_is_acknowledged_until_all_is_verified(call: str, mesh: Mesh):
    peer = failing(mesh)
    peer.begin()
    await wait_until(lambda: peer.is_ready)
    await mesh.together([peer])
    before = peer.submit(**{key: value for key, value in JOB.items() if key != "renderer"})
    assert (await peer.until_ended(before))["state"] == "completed"
    fail_from_now_on(mesh, peer, call)
    statuses = try_anything(peer, "the-one")
    assert 202 not in statuses, statuses
    assert await peer.ended(30) == 1, peer.log
    assert "cannot be trusted any more" in peer.log
    assert "I/O error" in (peer.data_dir / MARK).read_text() or "Input/output" in (peer.data_dir / MARK).read_text()
    for name in ("LD_PRELOAD", "FIU_CTRL_FIFO"):
        del peer.environment[name]
    await mesh.restart(peer)
    assert "store_verified" in peer.log
    assert not (peer.data_dir / MARK).exists()
    assert peer.job(before)["state"] == "completed"
    await mesh.together([peer])
    again = peer.ask("POST", "/api/v1/jobs", json_body=JOB, headers={"Idempotency-Key": "the-one"})
    assert again.status == 202
    assert {row["id"] for row in peer.get("/jobs")["jobs"]} == {before, again.json["id"]}
    assert (await peer.until_ended(again.json["id"]))["state"] == "completed"


@pytest.fixture
def small_disk(mesh: Mesh) -> Iterator[Path]:
    """A file system of 400 MiB, which only root can make."""
    place = mesh.folder / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a file system of its own")
    yield place
    mesh.close()
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> list[Path]:
    """Use up every block."""
    paths = [place / "ballast", place / "rest"]
    status = os.statvfs(place)
    with paths[0].open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(status.f_bavail * status.f_frsize, 1))
    try:
        with paths[1].open("wb", buffering=0) as rest:
            while True:
                rest.write(bytes(4096))
    except OSError:
        return paths


async def test_a_peer_on_a_full_disk_promises_nothing_goes_on_gossiping_and_recovers(mesh: Mesh, small_disk: Path):
    other = await mesh.start("other")
    full = await mesh.start("full", "--data-dir", str(small_disk / "data"))
    await mesh.together([other, full])
    ballast = await asyncio.to_thread(fill, small_disk)
    key = {"Idempotency-Key": "the-one"}

    def refused() -> bool:
        return full.ask("POST", "/api/v1/jobs", json_body={**JOB, "name": "x" * 200}, headers=key).status == 503

    await wait_until(lambda: full.ask("GET", "/health").status == 503)
    assert refused()

    def seen_critical() -> bool:
        rows = [row for row in other.peers() if row["id"] == full.id]
        return any(check["status"] == "critical" for row in rows for check in row["checks"])

    await wait_until(seen_critical)
    assert full.running.poll() is None
    assert other.id in {row["id"] for row in full.peers()}
    for path in ballast:
        path.unlink()
    await wait_until(lambda: full.ask("GET", "/health").status != 503, 90)
    await wait_until(lambda: not refused())
    jobs = full.get("/jobs")["jobs"]
    assert len(jobs) == 1
    assert (await full.until_ended(jobs[0]["id"]))["state"] == "completed"
