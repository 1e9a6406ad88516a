"""Clients with a list of hosts, while those are killed and started again: exactly the jobs that were submitted, each once."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.mesh import Mesh, PeerProcess, everywhere
from tests.waiting import wait_until

CLIENTS = 3
JOBS_PER_CLIENT = 10
KILLS = 12
SCENE_BYTES = 2_000_000
PATIENCE_S = 240.0


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_list_of_hosts_that_are_killed_gets_exactly_the_jobs_that_were_submitted(mesh: Mesh) -> None:
    peers = await mesh.start_many("first", "second", "third")
    scene = mesh.folder / "scene.blend"
    scene.write_bytes(random.Random(7).randbytes(SCENE_BYTES))
    killer = asyncio.create_task(kill_in_turn(mesh, peers, random.Random(11)))
    clients = [submit_many(mesh, peers, scene, number, until=killer.done) for number in range(CLIENTS)]
    ran = [one for several in await asyncio.gather(*clients) for one in several]
    await killer
    assert [one.stderr for one in ran if one.returncode != 0] == []
    wanted = {one.stdout.strip() for one in ran}
    assert len(wanted) == len(ran)
    await wait_until(everywhere(peers, lambda peer: {row["id"] for row in jobs_of(peer)} == wanted))
    for peer in peers:
        assert set(Counter(row["name"] for row in jobs_of(peer)).values()) == {1}
    await wait_until(lambda: all(row["state"] == "completed" for peer in peers for row in jobs_of(peer)), 120)
    assert all(row["frames"]["done"] == 3 for row in jobs_of(peers[0]))
    assert sum(peer.starts for peer in peers) == len(peers) + KILLS


def jobs_of(peer: PeerProcess) -> list[dict]:
    return list(peer.get("/jobs?limit=1000")["jobs"])


async def submit_many(
    mesh: Mesh, peers: list[PeerProcess], scene: Path, number: int, *, until: Callable[[], bool]
) -> list[subprocess.CompletedProcess[str]]:
    """One after the other `until` it is so; every other with a scene, so that hosts die in the middle of an upload too."""
    dice = random.Random(number)
    ran: list[subprocess.CompletedProcess[str]] = []
    while len(ran) < JOBS_PER_CLIENT or not until():
        at = len(ran)
        hosts = ",".join(peer.host for peer in dice.sample(peers, len(peers)))
        what = (str(scene),) if at % 2 else ()
        arguments = ("-H", hosts, "submit", *what, "--renderer", "null", "-f", "1-3", "--name", f"job-{number}-{at}")
        ran.append(await asyncio.to_thread(mesh.peerctl, None, *arguments, "-o", "name", timeout_s=PATIENCE_S))
    return ran


async def kill_in_turn(mesh: Mesh, peers: list[PeerProcess], dice: random.Random) -> None:
    """Any of them, as fast as it comes back and the others see it."""
    for _ in range(KILLS):
        peer = dice.choice(peers)
        peer.kill()
        await mesh.restart(peer)
        await mesh.together(peers)
