import json

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def test_table_wide_and_names(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    other = mesh.start_peer("render2")
    lines = peerctl("peers").out.splitlines()
    assert lines[0].split() == ["ID", "NAME", "STATE", "ADDRESS", "BUSY", "RENDERERS", "CHECKS"]
    assert "blender 5.0.1" in lines[1]
    assert "room=attic" not in lines[1]
    assert "room=attic" in peerctl("peers", "-o", "wide").out
    assert peerctl("peers", "-o", "name").out.split() == [peer.id, other.id]


def test_json_is_a_contract(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    assert json.loads(peerctl("peers", "--json").out) == {"apiVersion": "peerctl/v1", "kind": "Peers", "peers": [peer.view()]}
    assert json.loads(peerctl("peer", "render1", "--json").out) == {"apiVersion": "peerctl/v1", "kind": "Peer", **peer.view()}


def test_one_peer_by_name_and_prefix(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    assert f"Id         {peer.id}" in peerctl("peer", "render1").out
    assert peerctl("peer", peer.id[:5], "-o", "name").out.strip() == peer.id
    assert peerctl("peer", "nobody").code == 3
    mesh.start_peer("render2")
    mesh.peers[1].name = "render1"
    assert peerctl("peer", "render1").code == 5


def test_drain_and_undrain(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    assert "takes no new work" in peerctl("drain", "render1").out
    assert peer.draining
    assert "alive, draining" in peerctl("peers").out
    assert peerctl("undrain", "render1", "-o", "name").out.strip() == peer.id
    assert not peer.draining


def test_readmit(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    assert "is trusted again" in peerctl("readmit", "render1").out
    assert peerctl("readmit", "render1", "-o", "name").out.strip() == peer.id
    assert peerctl("readmit", "nobody").code == 3
