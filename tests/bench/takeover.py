"""A job's owner is killed with -9 again and again: when do the others show its heir, and when is work stolen from it?"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.measured import Row
from tests.e2e.mesh import Mesh, PeerProcess
from tests.waiting import wait_until

NAMES = ("ash", "birch", "cedar", "dogwood")
GOAL_S = 5.0
WAIT_S = 60.0
FRAMES, FRAME_MS = 4_000, 200
BUSY_FRAMES = 6  # so many are done before the owner dies: everybody has begun
JOB_S = 1_200.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark takes."""
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="how often the owner is killed (default 20)")


def run(*, options: argparse.Namespace, folder: Path) -> list[Row]:
    """Kill the owner, look, start it again; at last the job is cancelled and its frames are counted."""
    mesh = Mesh(folder)
    try:
        return asyncio.run(_measure(mesh, options.kills))
    finally:
        mesh.close()


async def _measure(mesh: Mesh, kills: int) -> list[Row]:
    peers = await mesh.start_many(*NAMES)
    job = peers[0].submit(frames=f"1-{FRAMES}", settings={"frame_ms": FRAME_MS})
    shown_s: list[float] = []
    stolen_s: list[float] = []
    done_before = 0
    lost = false_deaths = 0
    for _ in range(kills):
        await mesh.together(peers)
        owner = mesh.by_id(peers[0].job(job)["owner"])
        others = [peer for peer in peers if peer is not owner]
        await wait_until(_has_done(others[0], job, done_before + BUSY_FRAMES), WAIT_S)
        owner.kill()
        killed = time.time()
        await wait_until(_is_taken_over(others, job, owner), WAIT_S)
        shown_s.append(time.time() - killed)
        _status_names(mesh, others[0], others[0].job(job)["owner"])
        heir = mesh.by_id(others[0].job(job)["owner"])
        await wait_until(_has_stolen(heir, job, killed), WAIT_S)
        stolen_s.append(min(_stolen(heir, job, killed)) - killed)
        done = heir.job(job)["frames"]["done"]
        lost += max(0, done_before - done)
        done_before = done
        false_deaths += _false_deaths(others, owner, killed)
        await mesh.restart(owner)
    await mesh.together(peers)
    return [
        Row(f"owner killed to heir shown by every other peer, slowest of {kills}", GOAL_S, max(shown_s), "s", {"each": shown_s}),
        Row("owner killed to a stolen frame committed by the heir", GOAL_S, max(stolen_s), "s", {"each": stolen_s}),
        Row("finished frames that were lost from view", 0, lost, "", {}),
        Row("live peers that were called dead", 0, false_deaths, "", {}),
    ]


def _has_done(peer: PeerProcess, job: str, count: int) -> Callable[[], bool]:
    return lambda: peer.job(job)["frames"]["done"] >= count


def _is_taken_over(others: list[PeerProcess], job: str, owner: PeerProcess) -> Callable[[], bool]:
    return lambda: all(peer.job(job)["owner"] != owner.id for peer in others)


def _status_names(mesh: Mesh, peer: PeerProcess, heir: str) -> None:
    """`peerctl status` at another peer says the same. Ends the benchmark when it does not."""
    shown = mesh.peerctl(peer, "jobs", "--json")
    if shown.returncode or heir not in shown.stdout:
        raise SystemExit(f"peerctl jobs at {peer.name} does not name the heir {heir[:8]}: {shown.stdout}{shown.stderr}")


def _has_stolen(heir: PeerProcess, job: str, since: float) -> Callable[[], bool]:
    return lambda: _stolen(heir, job, since) != []


def _stolen(heir: PeerProcess, job: str, since: float) -> list[float]:
    """When (seconds since 1970) the heir committed frames that others rendered."""
    rows = [row for row in heir.events("frame_committed") if row["job"] == job and row["by"] != heir.id]
    return [at for row in rows if (at := _seconds(row)) >= since]


def _seconds(row: dict[str, Any]) -> float:
    return datetime.fromisoformat(row["time"]).timestamp()


def _false_deaths(others: list[PeerProcess], owner: PeerProcess, since: float) -> int:
    """Deaths of anybody but the killed owner that its peers have noted since then."""
    rows = [row for peer in others for row in peer.events("member_died") if row["peer"] != owner.id]
    return sum(1 for row in rows if _seconds(row) >= since)
