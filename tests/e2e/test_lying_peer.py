"""A peer that returns wrong pixels is out within the stated number of frames; one that rounds otherwise never is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.mesh import READY_S, Mesh, PeerProcess
from tests.waiting import wait_until

PEERD: Final = str(Path(__file__).with_name("odd_peerd.py"))
SHARE: Final = 0.2
UNSEEN_MAX: Final = 2.62 / SHARE  # frames of one peer that its owner takes without looking at one
FRAMES: Final = 200


async def start(mesh: Mesh, name: str, kernel: str, pictures: str) -> PeerProcess:
    peer = mesh.prepare(name, "--audit-share", str(SHARE))
    peer.program = (sys.executable, PEERD, kernel, pictures)
    peer.begin()
    await wait_until(lambda: peer.is_ready, READY_S)
    return peer


def distrusted(peer: PeerProcess) -> list[str]:
    """Names of the peers that it does not trust."""
    return [row["name"] for row in peer.peers() if any(check["name"] == "pixels" for check in row["checks"])]


@pytest.mark.timeout(240)
async def test_a_peer_with_wrong_pixels_is_out_in_time_and_one_that_rounds_otherwise_is_not(mesh: Mesh):
    honest = [await start(mesh, "oak", "avx2", "right"), await start(mesh, "ash", "avx2", "right")]
    other = await start(mesh, "fir", "sse42", "rounded")
    liar = await start(mesh, "elm", "avx2", "wrong")
    everybody = [*honest, other, liar]
    await mesh.together(everybody)
    owner = honest[0]
    job = owner.submit(frames=f"1-{FRAMES}", settings={"frame_ms": 40})
    await wait_until(lambda: distrusted(owner) == ["elm"], 90)
    await wait_until(lambda: all(distrusted(peer) == ["elm"] for peer in everybody), 30)

    done = await owner.until_ended(job, 120, among=("completed", "failed"))
    assert done["state"] == "completed"
    frames = owner.frames(job)
    assert [row["frame"] for row in frames] == list(range(1, FRAMES + 1))
    assert liar.id not in {row["peer"] for row in frames}
    events = owner.events("frame_committed", "audit_asked")
    looked_at = next(at for at, row in enumerate(events) if row["event"] == "audit_asked" and liar.id in (row["by"], row["to"]))
    taken = [row for row in events[:looked_at] if row["by"] == liar.id]
    assert len(taken) <= UNSEEN_MAX
    assert other.id in {row["peer"] for row in frames}
    assert owner.metric("rendermesh_audits_total", result="refuted") >= 1

    again = owner.submit(frames="1-40", settings={"frame_ms": 20})
    assert (await owner.until_ended(again))["state"] == "completed"
    assert liar.id not in {row["peer"] for row in owner.frames(again)}
    assert distrusted(owner) == ["elm"]

    why = mesh.peerctl(owner, "why", "elm").stdout
    assert "other pixels" in why
    assert "peerctl readmit elm" in why
    assert "pixels critical" in mesh.peerctl(owner, "peers").stdout
    assert mesh.peerctl(liar, "readmit", "elm").returncode != 0
    assert mesh.peerctl(other, "readmit", "elm").returncode == 0
    await wait_until(lambda: not any(distrusted(peer) for peer in everybody), 30)
