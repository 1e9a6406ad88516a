from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def test_flags_may_stand_before_or_after_the_verb(mesh: FakeMesh, peerctl: Peerctl) -> None:
    peer = mesh.start_peer("render1")
    for arguments in (["-H", peer.address, "-o", "name", "peers"], ["peers", "-H", peer.address, "-o", "name"]):
        assert peerctl(*arguments).out.strip() == peer.id


def test_those_after_the_verb_win(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    assert peerctl("-o", "json", "peers", "-o", "name").out.strip() == peer.id
    assert peerctl("-H", "127.0.0.1:1", "peers", "-H", peer.address, "-o", "name").out.strip() == peer.id
