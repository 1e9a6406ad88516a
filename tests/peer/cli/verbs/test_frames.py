import json

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def test_a_line_per_frame_over_pages(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", list(range(1, 8)))
    mesh.page = 3
    job.step()
    lines = peerctl("frames", "castle").out.splitlines()
    assert lines[0].split()[:3] == ["FRAME", "STATE", "PEER"]
    assert len(lines) == 8


def test_only_those_of_one_state(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1, 2, 3])
    job.failed = [2]
    job.stands_still = True
    assert peerctl("frames", "castle", "--state", "failed", "-o", "name").out == "2\n"
    ran = peerctl("frames", "castle", "--state", "done")
    assert (ran.code, ran.out) == (0, "")
    assert "no frames in state done" in ran.err


def test_json_is_a_contract(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1, 2])
    job.done, job.stands_still = [1], True
    assert json.loads(peerctl("frames", "castle", "--json").out) == {
        "apiVersion": "peerctl/v1",
        "kind": "Frames",
        "frames": job.rows(),
    }
