"""kill -9 at the steps by which a job passes from one owner to the next, and by which a worker keeps what nobody takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.mesh import Mesh, PeerProcess
from tests.e2e.test_failures import SLOW, all_right
from tests.waiting import wait_until

FRAMES = 24
HEIR_DIES = ("takeover before", "takeover after")
OWNER_DIES = ("hand-over before", "hand-over after")
WORKER_DIES = ("outbox before", "outbox after")


async def begun(mesh: Mesh, *, armed: str, where: str) -> tuple[PeerProcess, PeerProcess, str]:
    """The owner and the other peer, one of which is to die somewhere, and a job that both are at."""
    peers = []
    for name in ("owner", "other"):
        peers.append(mesh.prepare(name))
        if name == armed:
            peers[-1].environment["PEER_FAILPOINT"] = f"{where}:crash"
        peers[-1].begin()
        await wait_until(lambda: peers[-1].is_ready)
    owner, other = peers
    await mesh.together(peers)
    job = owner.submit(frames=f"1-{FRAMES}", settings=SLOW)
    await wait_until(lambda: owner.job(job)["frames"]["done"] >= 2 and len(other.job(job)["replicas"]) == 2)
    await wait_until(lambda: any(row["peer"] == other.id for row in owner.frames(job) if row["state"] == "running"))
    return owner, other, job


async def back(mesh: Mesh, victim: PeerProcess) -> None:
    """It has died by its own hand, and starts again without a failpoint."""
    assert await victim.ended(60) == -9, victim.log
    del victim.environment["PEER_FAILPOINT"]
    await mesh.restart(victim)


async def all_is_well(peer: PeerProcess, job: str, folder: Path) -> None:
    """Each frame is there, once and right, and the job has passed on."""
    ended = await peer.until_ended(job, 120)
    assert (ended["state"], ended["frames"]["done"]) == ("completed", FRAMES)
    await all_right(peer, job, FRAMES, folder)


@pytest.mark.parametrize("where", HEIR_DIES)
async def test_an_heir_dies_at(where: str, mesh: Mesh, tmp_path: Path):
    owner, heir, job = await begun(mesh, armed="other", where=where)
    owner.kill()
    await back(mesh, heir)
    await all_is_well(heir, job, tmp_path)
    assert (heir.job(job)["owner"], heir.job(job)["epoch"] >= 2) == (heir.id, True)
    await mesh.restart(owner)
    await wait_until(lambda: owner.job(job)["owner"] == heir.id and owner.job(job)["state"] == "completed")


@pytest.mark.parametrize("where", HEIR_DIES)
async def test_an_heir_of_an_owner_that_drains_dies_at(where: str, mesh: Mesh, tmp_path: Path):
    owner, heir, job = await begun(mesh, armed="other", where=where)
    owner.terminate()
    await back(mesh, heir)
    assert await owner.ended(60) == 0, owner.log
    await mesh.restart(owner)
    await mesh.together([owner, heir])
    for peer in (owner, heir):
        await all_is_well(peer, job, tmp_path)


@pytest.mark.parametrize("where", OWNER_DIES)
async def test_an_owner_that_hands_over_dies_at(where: str, mesh: Mesh, tmp_path: Path):
    owner, heir, job = await begun(mesh, armed="owner", where=where)
    owner.terminate()
    await back(mesh, owner)
    await mesh.together([owner, heir])
    for peer in (owner, heir):
        await all_is_well(peer, job, tmp_path)
        assert (peer.job(job)["owner"], peer.job(job)["epoch"] >= 2) == (heir.id, True)


@pytest.mark.parametrize("where", WORKER_DIES)
async def test_a_worker_that_keeps_what_its_dead_owner_did_not_take_dies_at(where: str, mesh: Mesh, tmp_path: Path):
    owner, worker, job = await begun(mesh, armed="other", where=where)
    owner.kill()
    await back(mesh, worker)
    await mesh.restart(owner)
    await mesh.together([owner, worker])
    for peer in (owner, worker):
        await all_is_well(peer, job, tmp_path)
