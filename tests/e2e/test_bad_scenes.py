"""Scenes that cannot be rendered, or not as meant: refused on arrival, failed with a reason, or held until someone decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.mesh import BLENDER_S, Mesh, PeerProcess
from tests.scenes import build as scenes

pytestmark = pytest.mark.blender


@pytest.fixture
def scene_of(tmp_path: Path):
    return lambda name: scenes.build(name, tmp_path / name, scenes.any_home())


@pytest.fixture
def mesh(shared_mesh: Mesh) -> Mesh:
    return shared_mesh


@pytest.fixture
def peer(blender_peer: PeerProcess) -> PeerProcess:
    return blender_peer


def leased(peer: PeerProcess, job: str) -> list[object]:
    """Leases of frames of that job so far."""
    return [row for row in peer.events("frames_leased") if row["job"] == job]


async def test_a_file_that_is_no_scene_is_refused_on_arrival_and_says_what_it_is(mesh, peer, scene_of):
    answer = peer.try_submit(scene_of("not_blend"))
    assert (answer.status, answer.json["code"]) == (422, "not_a_blend")
    assert "PNG" in answer.json["detail"]
    done = mesh.peerctl(peer, "submit", str(scene_of("not_blend")))
    assert done.returncode == 10
    assert "not a .blend" in done.stderr
    assert not any(row["name"] == "scene" for row in peer.get("/jobs")["jobs"])


async def test_a_truncated_scene_is_refused_on_arrival(peer, scene_of):
    answer = peer.try_submit(scene_of("truncated"))
    assert (answer.status, answer.json["code"]) == (422, "truncated_blend")
    assert "not whole" in answer.json["detail"]


async def test_a_scene_newer_than_any_blender_of_the_mesh_is_refused_and_names_the_versions(peer, scene_of):
    answer = peer.try_submit(scene_of("too_new"))
    assert (answer.status, answer.json["code"]) == (422, "blend_too_new")
    assert "9.9" in answer.json["detail"]
    [capability] = [one for one in peer.get(f"/peers/{peer.id}")["capabilities"] if one["renderer"] == "blender"]
    assert ".".join(capability["version"].split(".")[:2]) in answer.json["detail"]


async def test_a_scene_without_a_camera_fails_at_inspection_before_any_frame(peer, scene_of):
    job = peer.submit(scene_of("no_camera"), frames="1-3")
    ended = await peer.until_ended(job, BLENDER_S)
    assert ended["state"] == "failed"
    assert "camera" in str(ended["error"]).lower()
    assert leased(peer, job) == []


async def test_a_blender_version_that_no_peer_has_keeps_the_job_waiting_and_says_so(mesh, peer, scene_of):
    job = peer.submit(scene_of("quick"), frames="1", blender="2.80")
    done = mesh.peerctl(peer, "submit", str(scene_of("quick")), "-f", "1", "--blender", "2.80", "--wait", "--timeout", "3")
    assert done.returncode in (1, 8), done.stderr
    view = peer.job(job)
    assert view["state"] not in ("completed", "running")
    assert "2.80" in str(view["waiting_because"]) + str(view["error"])


async def test_a_missing_texture_holds_the_job_by_name_until_it_is_accepted(mesh, peer, scene_of):
    job = peer.submit(scene_of("missing_texture"), frames="1-2")
    held = await peer.until_ended(job, BLENDER_S)
    assert held["state"] == "held"
    [reason] = held["held_because"]
    assert "wood.png" in reason["text"]
    assert reason["remedy"]
    assert leased(peer, job) == []
    why = mesh.peerctl(peer, "why", job)
    assert reason["code"] in why.stdout
    assert "wood.png" in why.stdout
    done = mesh.peerctl(peer, "resume", job, "--accept", reason["code"])
    assert done.returncode == 0, done.stderr
    ended = await peer.until_ended(job, BLENDER_S, among=("completed", "failed"))
    assert ended["state"] == "completed"


async def test_a_missing_texture_fails_the_job_where_that_was_asked_for(peer, scene_of):
    job = peer.submit(scene_of("missing_texture"), frames="1-2", on_warning="fail")
    ended = await peer.until_ended(job, BLENDER_S)
    assert ended["state"] == "failed"
    assert "wood.png" in str(ended["error"])
