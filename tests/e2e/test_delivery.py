"""Frames in output roots: once, whole, under their names, whoever has the root and whatever lies there already."""

from __future__ import annotations

from pathlib import Path

from peer.render.verify_child import pixel_hash
from tests.e2e.mesh import Mesh, PeerProcess
from tests.waiting import wait_until

QUICK = {"frame_ms": 10}


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def as_committed(peer: PeerProcess, job: str, folder: Path) -> None:
    """Every frame of the job lies in the folder with the pixels that were committed, and nothing else."""
    rows = peer.frames(job)
    assert names(folder) == [f"shot_{row['frame']:04d}.png" for row in rows]
    for row in rows:
        assert pixel_hash(folder / f"shot_{row['frame']:04d}.png") == row["pixel_hash"]


async def a_root(mesh: Mesh, name: str = "out", *arguments: str) -> tuple[PeerProcess, Path]:
    root = mesh.folder / name
    root.mkdir()
    peer = await mesh.start(f"peer-{name}", "--output-root", f"{name}={root}", *arguments)
    return peer, root


async def test_frames_are_delivered_before_the_job_completes(mesh):
    peer, root = await a_root(mesh)
    job = peer.submit(frames="1-40", name="shot", destination="out:film/010", settings=QUICK)
    ended = await peer.until_ended(job)
    assert (ended["state"], ended["delivered"]) == ("completed", {"frames": 40, "conflicts": 0})
    as_committed(peer, job, root / "film" / "010")


async def test_another_peer_has_the_root(mesh):
    holder, root = await a_root(mesh)
    owner = await mesh.start("owner")
    await mesh.together([holder, owner])
    await wait_until(lambda: any(row["output_roots"] for row in owner.peers()))
    job = owner.submit(frames="1-10", name="shot", destination="out:", settings=QUICK)
    assert (await owner.until_ended(job))["state"] == "completed"
    as_committed(owner, job, root)
