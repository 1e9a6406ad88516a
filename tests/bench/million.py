"""A job of a million frames: what it costs its owner and a replica in memory, and how long a submission and a look at it take.

What any job costs is not its price: a smaller one is rendered first, and the memory that both peers have then is where it begins.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from statistics import median

from tests.bench import done_frames
from tests.bench.measured import Row
from tests.bench.scene_memory import peak_bytes
from tests.e2e.mesh import Mesh, PeerProcess

MEMORY_MB = 64.0
SUBMIT_S, LOOK_MEDIAN_S, LOOK_SLOWEST_S = 5.0, 0.05, 2.0
FRAME_MS = 0
LOOK_AGAIN_S = 1.0
WARM_S = 600.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark takes."""
    parser.add_argument("--frames", type=int, default=1_000_000, metavar="N", help="how many the job has (default 1000000)")
    parser.add_argument("--warm", type=int, default=5_000, metavar="N", help="frames of the job before it (default 5000)")
    parser.add_argument("--done", type=int, default=20_000, metavar="N", help="watch until so many are done (default 20000)")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="but no longer than this (default 60)")


def run(*, options: argparse.Namespace, folder: Path) -> list[Row]:
    """Submit, then watch while two peers render."""
    mesh = Mesh(folder)
    try:
        return [*done_frames.rows(folder, frames=options.frames), *asyncio.run(_measure(mesh, options))]
    finally:
        mesh.close()


async def _measure(mesh: Mesh, options: argparse.Namespace) -> list[Row]:
    owner, replica = await mesh.start_many("owner", "replica")
    fresh = _peaks_mb(owner, replica)
    await owner.until_ended(owner.submit(frames=f"1-{options.warm}", settings={"frame_ms": FRAME_MS}), WARM_S)
    before = _peaks_mb(owner, replica)
    began = time.perf_counter()
    job = owner.submit(frames=f"1-{options.frames}", settings={"frame_ms": FRAME_MS})
    submit_s = time.perf_counter() - began
    submitted = _peaks_mb(owner, replica)
    looks_s, grown, done = await _watch(owner, job, options)
    after = _peaks_mb(owner, replica)
    return [
        Row(f"owner's peak, {options.frames:,} frames submitted", MEMORY_MB, submitted[0] - before[0], "MB",
            {"peaks of owner and replica when started": fresh, f"after {options.warm:,} frames": before, "then": submitted}),
        Row(f"owner's peak, {done:,} of them done", MEMORY_MB, after[0] - before[0], "MB",
            {"peaks of owner and replica then": after, "owner, as frames were done": grown}),
        Row("submission", SUBMIT_S, submit_s, "s", {}),
        Row("the job's state, median", LOOK_MEDIAN_S, median(looks_s), "s", {}),
        Row("the job's state, slowest", LOOK_SLOWEST_S, max(looks_s), "s", {"slowest": sorted(looks_s)[-5:]}),
    ]  # fmt: skip


async def _watch(owner: PeerProcess, job: str, options: argparse.Namespace) -> tuple[list[float], list[float], int]:
    """Seconds of each look at the job, the owner's growth as it went, and the frames that were done at last."""
    until = time.monotonic() + options.seconds
    looks_s: list[float] = []
    peaks_mb: list[float] = []
    while True:
        began = time.perf_counter()
        done = owner.job(job)["frames"]["done"]
        looks_s.append(time.perf_counter() - began)
        peaks_mb += _peaks_mb(owner)
        if done >= options.done or time.monotonic() >= until:
            return looks_s, peaks_mb[:: max(1, len(peaks_mb) // 10)], done
        await asyncio.sleep(LOOK_AGAIN_S)


def _peaks_mb(*peers: PeerProcess) -> list[float]:
    return [peak_bytes(peer) / 2**20 for peer in peers]
