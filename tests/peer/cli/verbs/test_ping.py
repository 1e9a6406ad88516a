import json

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def test_a_line_for_each_way(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    ran = peerctl("ping", "render2", "-c", "2")
    assert [line.split() for line in ran.out.splitlines()] == [
        ["WAY", "ANSWERED", "MIN", "MEAN", "MAX"],
        ["datagram", "2/2", "0.40", "ms", "0.50", "ms", "0.60", "ms"],
        ["stream", "2/2", "2.00", "ms", "2.50", "ms", "3.00", "ms"],
        ["indirect", "nobody", "to", "ask"],
    ]
    assert (ran.code, ran.err) == (0, "")
    assert mesh.seen[-1].path == "/api/v1/peers/render2/ping?count=2"
    assert json.loads(peerctl("ping", "render2", "--json").out)["kind"] == "Ping"
    assert peerctl("ping", "render2", "-o", "name").out == "render2\n"


def test_blocked_datagrams_are_said(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.ways["datagram"] = []
    ran = peerctl("ping", "render2")
    assert ran.code == 0
    assert "UDP" in ran.err


def test_no_way_at_all_is_a_failure(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.ways = {"datagram": [], "stream": [], "indirect": []}
    assert peerctl("ping", "render2").code == 1
    assert peerctl("ping", "render2", "-c", "0").code == 2
