"""One mesh key makes one mesh: whoever has another is not heard, and is counted."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.e2e.mesh import Mesh
from tests.waiting import wait_until

OPEN = ("--http", "plain", "--anonymous-role", "admin")


def keygen(mesh: Mesh, name: str) -> Path:
    path = mesh.folder / name
    done = mesh.peerctl(None, "keygen", "--out", str(path))
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path


async def test_peers_with_the_same_key_join(mesh):
    key = keygen(mesh, "mesh.key")
    first = await mesh.start("first", "--mesh-key-file", str(key), *OPEN)
    second = await mesh.start("second", "--mesh-key-file", str(key), *OPEN)
    await mesh.together([first, second])
    job = first.submit(frames="1-4", settings={"frame_ms": 10})
    assert (await first.until_ended(job))["state"] == "completed"


async def test_a_peer_with_another_key_does_not_join_and_is_counted(mesh):
    first = await mesh.start("first", "--mesh-key-file", str(keygen(mesh, "one.key")), *OPEN)
    second = await mesh.start("second", "--mesh-key-file", str(keygen(mesh, "other.key")), *OPEN)
    await wait_until(lambda: first.metric("rendermesh_datagrams_dropped") > 0)
    assert [row["id"] for row in first.peers("alive", "suspect", "dead", "left")] == [first.id]
    assert [row["id"] for row in second.peers("alive", "suspect", "dead", "left")] == [second.id]


async def test_peers_of_two_mesh_names_do_not_join(mesh):
    first = await mesh.start("first")
    second = await mesh.start("second", "--mesh", "another-mesh")
    await wait_until(lambda: first.metric("rendermesh_datagrams_dropped") > 0)
    assert len(first.peers()) == len(second.peers()) == 1


async def test_with_a_mesh_key_nobody_comes_in_unknown(mesh):
    key = keygen(mesh, "mesh.key")
    peer = await mesh.start("closed", "--mesh-key-file", str(key), "--http", "plain")
    answer = peer.ask("GET", "/api/v1/jobs")
    assert answer.status in (401, 403)
    assert peer.ask("GET", "/health").status in (200, 429)
    assert "checks" not in peer.ask("GET", "/health").text or peer.ask("GET", "/health").json["checks"] == []
