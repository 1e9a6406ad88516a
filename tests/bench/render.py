"""How much a mesh costs on top of Blender: 48 frames of 320x180 at 4 samples, one Blender against one peer and three.

Medians of alternating pairs on one machine, warm and with the scene open on both sides. A pass of ours lasts from the
submission (its first byte) to the last commit that the owner notes. The peers are as anybody would start them.
"""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.measured import Row, ratio_of_medians
from tests.bench.peers import Peer, running
from tests.scenes.build import build

FRAMES = 48
ONE_PEER_GOAL = 1.10
THREE_PEERS_GOAL = 1.15
WARM_PASSES = 2


def run(*, pairs: int, folder: Path) -> list[Row]:
    """`pairs` alternating pairs for one peer, then as many for three."""
    scene = build("quick", folder / "scene", "bpy")
    rows = []
    with one_blender(scene, folder / "one_blender") as alone:
        for count, goal in ((1, ONE_PEER_GOAL), (3, THREE_PEERS_GOAL)):
            with running(folder / f"{count}_peers", count) as peers:
                for _ in range(WARM_PASSES):
                    mesh_pass(peers[0], scene)
                alone()
                ours, theirs = [], []
                for _ in range(pairs):
                    theirs.append(alone())
                    ours.append(mesh_pass(peers[0], scene))
            name = "one peer" if count == 1 else f"{count} peers on this machine"
            rows.append(ratio_of_medians(name, goal=goal, ours=ours, theirs=theirs, what="one Blender"))
    return rows


def mesh_pass(peer: Peer, scene: Path) -> float:
    """Seconds from the submission to the last commit."""
    submitted = time.time()
    job = peer.submit({"name": "bench"}, scene)
    commits = [event for event in peer.followed(job) if event["event"] == "frame_committed"]
    if len(commits) != FRAMES:
        raise SystemExit(f"{len(commits)} commits for {FRAMES} frames")
    return max(dt.datetime.fromisoformat(event["time"]).timestamp() for event in commits) - submitted


@contextmanager
def one_blender(scene: Path, folder: Path) -> Iterator[Callable[[], float]]:
    """A Blender with the scene open; each call renders all frames and returns the seconds."""
    folder.mkdir(parents=True)
    script = Path(__file__).with_name("one_blender.py")
    command = [sys.executable, str(script), str(scene), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        given, answers = child.stdin, child.stdout
        if answers.readline() != "open\n":
            raise SystemExit("Blender did not open the scene")

        def once() -> float:
            given.write("\n")
            given.flush()
            return float(answers.readline())

        yield once
        given.close()
