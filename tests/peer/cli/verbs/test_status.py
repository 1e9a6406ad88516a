import json

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def test_one_screen(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.add("done-one", [1]).state = "completed"
    held = mesh.add("castle", [1, 2])
    held.state = "held"
    held.held_because = [{"code": "missing_image", "text": "brick.png is not there", "remedy": "send it with --asset"}]
    lines = peerctl("status").out.splitlines()
    assert lines[0] == "mesh healthy: 1 of 1 peers alive"
    assert lines[2].startswith("ID")
    assert "render1" in lines[3]
    names = [line.split()[1] for line in lines[6:8]]
    assert names == ["castle", "done-one"]  # what is unfinished stands first
    assert lines[-1] == "castle (held): brick.png is not there [missing_image]; send it with --asset"


def test_a_mesh_with_a_dead_peer_is_degraded(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.gone = [{"id": "00" * 32, "name": "render9", "state": "dead"}]
    assert peerctl("status").out.startswith("mesh degraded: 1 of 2 peers alive; render9 is dead")


def test_a_peer_that_ails_is_said(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.health = 503
    first = peerctl("status").out.splitlines()[0]
    assert first == f"mesh degraded: 1 of 1 peers alive; {peer.url} calls itself critical"


def test_json_is_a_contract(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1])
    assert json.loads(peerctl("status", "--json").out) == {
        "apiVersion": "peerctl/v1", "kind": "Status", "mesh": "healthy", "detail": "1 of 1 peers alive", "health": "passing",
        "peers": [peer.view()], "jobs": [job.view()],
    }  # fmt: skip
    assert peerctl("status", "-o", "name").out == "healthy\n"
