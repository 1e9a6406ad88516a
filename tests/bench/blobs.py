"""How much memory a 2 GB scene costs: uploaded by curl to one peer, fetched from there by the other, which renders with it.

The growth of the peak resident set of each daemon (children not counted: they never see a scene's bytes on its way).
`--pairs` does not matter: a peak is a peak.
"""

from __future__ import annotations

from pathlib import Path

from tests.bench.measured import Row
from tests.bench.peers import running

SCENE_BYTES = 2 * 2**30
GOAL_MB = 64.0
PIECE = bytes(range(256)) * 4096
JOB = {"renderer": "null", "frames": "1-20", "settings": '{"frame_ms": 300}'}


def run(*, pairs: int, folder: Path) -> list[Row]:
    """One row per daemon."""
    scene = folder / "large.blend"
    with scene.open("wb") as file:
        for number in range(SCENE_BYTES // (len(PIECE) + 8)):
            file.write(number.to_bytes(8, "big") + PIECE)
    with running(folder / "peers", 2, "--renderer", "null") as peers:
        before = [peer.peak_bytes() for peer in peers]
        events = peers[0].followed(peers[0].submit(JOB, scene))
        after = [peer.peak_bytes() for peer in peers]
        renderers = {event["by"] for event in events if event["event"] == "frame_committed"}
    if peers[1].id not in renderers:
        raise SystemExit("the second peer has rendered nothing: it never fetched the scene")
    grown = [(late - early) / 2**20 for early, late in zip(before, after, strict=True)]
    return [
        Row(name, GOAL_MB, megabytes, "MB", {"peak before, MB": [early / 2**20], "peak after, MB": [late / 2**20]})
        for name, megabytes, early, late in zip(("upload", "fetch"), grown, before, after, strict=True)
    ]
