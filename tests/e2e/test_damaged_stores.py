"""Stores that a peer must not believe: newer than it, cut short, with a flipped bit in a row or in a frame."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import urllib3
from blake3 import blake3

from tests.e2e.mesh import Mesh, PeerProcess
from tests.e2e.test_bad_starts import refused
from tests.waiting import wait_until

QUICK = {"frame_ms": 5}
NAME = "a-name-that-stands-in-one-fact"


async def two(mesh: Mesh) -> tuple[PeerProcess, PeerProcess, str]:
    """Two peers that both hold a job which has ended, with every byte."""
    peers = await mesh.start_many("first", "second")
    job = peers[0].submit(frames="1-6", settings=QUICK, name=NAME)
    for peer in peers:
        await peer.until_ended(job)
        await wait_until(partial(holds_all, peer, job))
    return peers[0], peers[1], job


def blob(peer: PeerProcess, digest: str) -> Path:
    return peer.data_dir / "blobs" / digest[:2] / digest


def holds_all(peer: PeerProcess, job: str) -> bool:
    return all(blob(peer, row["digest"]).exists() for row in peer.frames(job))


def flip(path: Path, at: int) -> None:
    """One bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x04
    path.chmod(0o600)
    path.write_bytes(data)


def newer(journal: Path) -> None:
    connection = sqlite3.connect(journal)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def cut_short(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[: journal.stat().st_size // 2])


def flipped(journal: Path) -> None:
    flip(journal, journal.read_bytes().index(NAME.encode()))


@pytest.mark.parametrize(
    ("harm", "said"),
    [(newer, "99"), (cut_short, "Move the data folder"), (flipped, "damaged")],
    ids=["newer", "cut short", "a flipped bit"],
)
async def test_a_journal_that_is_not_to_be_believed_ends_with_2_and_the_job_is_elsewhere(
    harm: Callable[[Path], None], said: str, mesh: Mesh
):
    first, second, job = await two(mesh)
    first.terminate()
    assert await first.ended(60) == 0, first.log
    assert not (first.data_dir / "journal.db-wal").exists(), "the journal is one file when its peer has ended"
    harm(first.data_dir / "journal.db")
    text = await refused(first)
    assert said in text
    assert str(first.data_dir) in text
    first.data_dir.rename(first.data_dir.with_name("moved-away"))
    await mesh.restart(first)
    await mesh.together([first, second])
    await wait_until(lambda: first.job(job)["state"] == "completed")
    assert [row["digest"] for row in first.frames(job)] == [row["digest"] for row in second.frames(job)]


async def test_a_flipped_bit_in_a_frame_is_never_served_for_whole_and_is_mended_from_the_other_peer(mesh: Mesh):
    first, second, job = await two(mesh)
    digests = {row["frame"]: row["digest"] for row in first.frames(job)}
    for digest in digests.values():
        flip(blob(first, digest), 100)
    for frame, digest in digests.items():
        try:
            answer = first.ask("GET", f"/api/v1/jobs/{job}/frames/{frame}")
        except urllib3.exceptions.HTTPError:
            continue  # cut off before its end
        assert answer.status != 200 or blake3(answer.body).hexdigest() == digest
    for frame, digest in digests.items():
        await wait_until(partial(is_whole, blob(first, digest), digest))
        answer = first.ask("GET", f"/api/v1/jobs/{job}/frames/{frame}")
        assert (answer.status, blake3(answer.body).hexdigest()) == (200, digest)
    assert {row["digest"] for row in first.events("blob_healed")} == {*digests.values()}
    assert second.events("blob_lost") == []


def is_whole(path: Path, digest: str) -> bool:
    return path.exists() and blake3(path.read_bytes()).hexdigest() == digest
