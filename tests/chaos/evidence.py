"""What is there at the end, asked of every peer by HTTP, and what lies on the disks and in the table of processes.

Looks and compares nothing. What it hands on is plain data, so that a test can forge it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import blake3
import psutil

from tests.chaos.client import Client
from tests.chaos.fleet import Fleet, Peer
from tests.chaos.pixels import decoded, decoded_file

SLOW_S: Final = 5.0


@dataclass(slots=True)
class Evidence:
    """`jobs` and `frames` by peer, as each answers; `pictures` are (pixel hash, digest of the bytes) of each (job, frame) that
    is done; `delivered` are pixel hashes of all files below the output root by relative name.

    `processes` and `leftovers` are what should not be there: while all was idle, and after every peer had ended."""

    jobs: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    frames: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    pictures: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    delivered: dict[str, str] = field(default_factory=dict)
    processes: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON, for those who look closer."""
        pictures = {f"{job}/{frame}": one for (job, frame), one in self.pictures.items()}
        return {**asdict(self), "pictures": pictures}


def of_peers(fleet: Fleet, client: Client) -> Evidence:
    """Ask every peer for every job and all frames."""
    found = Evidence()
    for peer in fleet.peers:
        rows = _pages(found, client, peer, "/api/v1/jobs", "jobs")
        found.jobs[peer.name] = {row["id"]: row for row in rows}
        found.frames[peer.name] = {job: _frames(found, client, peer, job) for job in found.jobs[peer.name]}
    return found


def again(found: Evidence, fleet: Fleet, client: Client, jobs: Iterable[str]) -> None:
    """Ask every peer for these jobs once more."""
    for peer in fleet.peers:
        for job in jobs:
            answer = client.ask((peer.name, peer.url), "GET", f"/api/v1/jobs/{job}")
            if answer.status == 200:
                found.jobs[peer.name][job] = answer.json
                found.frames[peer.name][job] = _frames(found, client, peer, job)


def _frames(found: Evidence, client: Client, peer: Peer, job: str) -> list[dict[str, Any]]:
    return _pages(found, client, peer, f"/api/v1/jobs/{job}/frames", "frames")


def of_bytes(found: Evidence, fleet: Fleet, client: Client) -> None:
    """Get the bytes of every frame, each from one peer in turn, and read what was delivered."""
    turn = 0
    for job in sorted({job for rows in found.jobs.values() for job in rows}):
        done = {row["frame"] for rows in found.frames.values() for row in rows.get(job, []) if row["state"] == "done"}
        for frame in sorted(done):
            turn += 1
            _picture(found, client, fleet.peers[turn % len(fleet.peers)], job, frame)
    found.delivered = {
        path.relative_to(fleet.root).as_posix(): decoded_file(path) for path in fleet.root.rglob("*") if path.is_file()
    }


def _pages(found: Evidence, client: Client, peer: Peer, path: str, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = client.ask((peer.name, peer.url), "GET", f"{path}?limit=1000{cursor}")
        if answer.status != 200:
            found.unanswered.append(f"{peer.name}: GET {path}: {answer.status} {answer.text[:200]}")
            return rows
        rows += answer.json[name]
        if answer.json["cursor"] is None:
            return rows
        cursor = f"&cursor={answer.json['cursor']}"


def _picture(found: Evidence, client: Client, peer: Peer, job: str, frame: int) -> None:
    began = time.monotonic()
    status, data = client.fetch((peer.name, peer.url), f"/api/v1/jobs/{job}/frames/{frame}")
    took_s = time.monotonic() - began
    if took_s > SLOW_S:
        found.slow.append(f"{peer.name}: frame {frame} of {job} took {took_s:.1f} s: {status}")
    if status == 200:
        found.pictures[job, frame] = decoded(data), blake3.blake3(data).hexdigest()
    else:
        text = data[:200].decode(errors="replace")
        found.unanswered.append(f"{peer.name}: frame {frame} of {job}: {status} {text}")


def strangers(fleet: Fleet) -> list[str]:
    """Processes that work in the fleet's folder and belong to no peer that runs, with their command lines."""
    peers = {peer.pid for peer in (*fleet.peers, fleet.spare) if peer.runs}
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.pid in peers or any(parent.pid in peers for parent in process.parents())
            if not mine and process.status() != psutil.STATUS_ZOMBIE and _works_in(process, f"{fleet.folder}/"):
                found.append(f"{process.pid}: {' '.join(process.cmdline())[:200]}")
        except psutil.Error:
            continue
    return found


def _works_in(process: psutil.Process, folder: str) -> bool:
    texts = [*process.environ().values(), *process.cmdline()]
    return process.name() not in ("nsenter", "unshare") and any(folder in text for text in texts)


def transient(peer: Peer) -> Iterator[str]:
    """Files of a data folder that an idle peer should not have: attempts, transfers that are no longer needed, scratch."""
    data = peer.data_dir
    cache = data / "scratch" / "cache"  # of Blender's compiled kernels
    for path in [*_files(data / "work"), *_files(data / "scratch")]:
        if not path.is_relative_to(cache):
            yield f"{peer.name}: {path.relative_to(data)}"
    for path in _files(data / "tmp"):
        digest = path.name.removeprefix("partial-")
        if not path.name.startswith("partial-") or (data / "blobs" / digest[:2] / digest).exists():
            yield f"{peer.name}: {path.relative_to(data)}"


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else ()
