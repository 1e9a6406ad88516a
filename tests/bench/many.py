"""10,000 small files in one submission: how long until they are accepted, and until another peer has rendered with them.

`peerctl submit` to one of two peers on loopback, which both write and fsync every byte before 202. Beside it, measured in turn:
the same tree copied twice by `cp -r`, with every file and folder of both copies fsynced.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.measured import Row, ratio_of_medians
from tests.bench.peers import Peer, running

FILES = 10_000
FOLDERS = 100
BYTES = 2_000
GOAL = 1.5


def run(*, pairs: int, folder: Path) -> list[Row]:
    """Two rows: until 202, and until the first frame is there."""
    accepted: list[float] = []
    rendered: list[float] = []
    copied: list[float] = []
    with running(folder / "peers", 2, "--renderer", "null") as peers:
        for number in range(pairs):
            tree = made(folder / f"show{number}", number)
            copied.append(copy_twice(tree, folder / f"copy{number}"))
            until_202, until_frame = submitted(peers, tree, number)
            accepted.append(until_202)
            rendered.append(until_frame)
    what = "two copies with fsync"
    return [
        ratio_of_medians("until accepted", goal=GOAL, ours=accepted, theirs=copied, what=what),
        ratio_of_medians("until a frame of another peer", goal=GOAL, ours=rendered, theirs=copied, what=what),
    ]


def made(tree: Path, number: int) -> Path:
    """A scene and its many files, no two alike, and none like those of another run."""
    for index in range(FOLDERS):
        (tree / "plates" / f"{index:03}").mkdir(parents=True)
    for index in range(FILES):
        name = tree / "plates" / f"{index % FOLDERS:03}" / f"plate_{index:05}.bin"
        name.write_bytes(f"{number}/{index};".encode().ljust(BYTES, b"x"))
    (tree / "shot.blend").write_bytes(f"scene {number}".encode())
    return tree


def copy_twice(tree: Path, to: Path) -> float:
    """Seconds for two durable copies."""
    begun = time.perf_counter()
    for copy in (to / "one", to / "two"):
        copy.mkdir(parents=True)
        subprocess.run(["cp", "-r", str(tree), str(copy)], check=True)
        for place, _, files in os.walk(copy):
            for name in (*files, "."):
                sync(Path(place) / name)
    return time.perf_counter() - begun


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def submitted(peers: list[Peer], tree: Path, number: int) -> tuple[float, float]:
    """Seconds until peerctl has its 202, and until the other peer has delivered a frame."""
    command = [sys.executable, "-m", "peer.cli", "-H", peers[0].url, "submit", str(tree / "shot.blend"), "--no-assets"]
    command += ["--asset", str(tree / "plates"), "--renderer", "null", "-f", "1-40", "--setting", "frame_ms=100", "-o", "name"]
    begun = time.perf_counter()
    done = subprocess.run([*command, "--name", f"many{number}"], capture_output=True, text=True, check=False)
    until_202 = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"the submission failed: {done.stderr}")
    job = done.stdout.strip()
    while not any(row["peer"] == peers[1].id for row in peers[0].get(f"/api/v1/jobs/{job}/frames?state=done")["frames"]):
        time.sleep(0.02)
    until_frame = time.perf_counter() - begun
    peers[0].followed(job)
    return until_202, until_frame
