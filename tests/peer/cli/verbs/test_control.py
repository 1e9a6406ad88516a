import json

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def test_pause_and_resume(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1, 2])
    assert "is paused" in peerctl("pause", "castle").out
    assert job.state == "paused"
    assert peerctl("resume", "castle").code == 0
    assert job.state != "paused"


def test_resume_accepts_warnings(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1, 2])
    job.state = "held"
    job.held_because = [{"code": code, "text": code, "remedy": ""} for code in ("missing_image", "no_denoiser")]
    peerctl("resume", "castle", "--accept", "missing_image")
    assert job.state == "held"
    ran = peerctl("resume", "castle", "--accept", "missing_image", "--accept", "no_denoiser", "--json")
    assert json.loads(ran.out)["held_because"] == []
    assert job.state != "held"


def test_cancel_is_for_good_and_may_be_said_twice(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1, 2])
    assert peerctl("cancel", "castle").code == 0
    assert peerctl("cancel", job.id, "-o", "name").out.strip() == job.id
    assert job.state == "cancelled"


def test_retry_names_its_frames(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.add("castle", [1, 2, 3])
    peerctl("retry", "castle", "-f", "2-3", "--include-done")
    peerctl("retry", "castle")
    bodies = [seen.json for seen in mesh.seen if seen.path.endswith("/retry")]
    assert bodies == [{"frames": "2-3", "include_done": True, "replaces": 0}, {"replaces": 0}]


def test_priority(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.add("castle", [1, 2])
    assert json.loads(peerctl("priority", "castle", "90", "--json").out)["priority"] == 90
    assert peerctl("priority", "castle", "101").code == 2


def test_rm_forgets_only_what_is_finished(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1, 2])
    ran = peerctl("rm", "castle")
    assert ran.code == 5
    assert "cancel it first" in ran.err
    job.state = "cancelled"
    assert peerctl("rm", "castle", "-o", "name").out.strip() == job.id
    assert not mesh.jobs
