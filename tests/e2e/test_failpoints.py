"""kill -9 at every step after which something is promised: what was acknowledged is there, once, and right."""

from __future__ import annotations

from pathlib import Path

import pytest
import urllib3

from peer.render.verify_child import pixel_hash
from tests.e2e.mesh import Mesh, PeerProcess
from tests.waiting import wait_until

FRAMES = 12
SPEC = {"renderer": "null", "frames": f"1-{FRAMES}", "name": "shot", "destination": "out:", "settings": {"frame_ms": 40}}
KEY = {"Idempotency-Key": "the-one"}
OWNER_DIES = (
    "accept fsync before",
    "accept fsync after",
    "accept reply before",
    "replicate before",
    "replicate after",
    "steal grant before",
    "steal grant after",
    "fact commit before",
    "fact commit after",
    "blob commit before",
    "blob commit after",
    "output temporary before",
    "output temporary after",
    "output rename before",
    "output rename after",
    "delivered commit before",
    "delivered commit after",
)
REPLICA_DIES = ("replica fsync before", "replica fsync after")


def submit(peer: PeerProcess) -> str | None:
    """The job's id, or None when the peer died before it had said so."""
    try:
        answer = peer.ask("POST", "/api/v1/jobs", json_body=SPEC, headers=KEY)
    except urllib3.exceptions.HTTPError:
        return None
    return str(answer.json["id"]) if answer.status == 202 else None


async def armed(mesh: Mesh, where: str) -> tuple[PeerProcess, PeerProcess, Path]:
    """The victim, which has the output root, and another peer; they know each other."""
    root = mesh.folder / "root"
    root.mkdir()
    other = await mesh.start("other")
    victim = mesh.prepare("victim", "--output-root", f"out={root}")
    victim.environment["PEER_FAILPOINT"] = f"{where}:crash"
    victim.begin()
    await wait_until(lambda: victim.is_ready)
    await mesh.together([other, victim])
    await wait_until(lambda: any(row["output_roots"] for row in other.peers()))
    return victim, other, root


async def back(mesh: Mesh, victim: PeerProcess, other: PeerProcess) -> None:
    """The victim has died by its own hand; it starts again, without a failpoint."""
    assert await victim.ended(60) == -9, victim.log
    del victim.environment["PEER_FAILPOINT"]
    await mesh.restart(victim)
    await mesh.together([other, victim])


async def all_is_well(owner: PeerProcess, told: str | None, root: Path) -> None:
    """The client asks again with its key: one job, each frame once, every file whole and right, nothing else."""
    await wait_until(lambda: submit(owner) is not None)
    job = submit(owner)
    assert job is not None
    assert told in (None, job)
    assert [row["id"] for row in owner.get("/jobs")["jobs"]] == [job]
    assert (await owner.until_ended(job, 90))["state"] == "completed"
    rows = owner.frames(job)
    assert [row["state"] for row in rows] == ["done"] * FRAMES
    names = [f"shot_{row['frame']:04d}.png" for row in rows]
    assert sorted(path.name for path in root.iterdir()) == names
    assert [pixel_hash(root / name) for name in names] == [row["pixel_hash"] for row in rows]


@pytest.mark.parametrize("where", OWNER_DIES)
async def test_an_owner_dies_at(where: str, mesh: Mesh):
    victim, other, root = await armed(mesh, where)
    told = submit(victim)
    await back(mesh, victim, other)
    if told is not None:
        assert victim.job(told)["id"] == told
    await all_is_well(victim, told, root)


@pytest.mark.parametrize("where", REPLICA_DIES)
async def test_a_replica_dies_at(where: str, mesh: Mesh):
    victim, other, root = await armed(mesh, where)
    told = submit(other)
    await back(mesh, victim, other)
    await all_is_well(other, told, root)
