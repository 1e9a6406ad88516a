import json

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer

REASON = {"code": "missing_image", "text": "brick.png is not there", "remedy": "send it with --asset"}


def test_reasons_in_plain_words(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1])
    job.state, job.held_because = "held", [REASON]
    lines = peerctl("why", "castle").out.splitlines()
    assert lines == [
        "job castle is held: 0/1 frames done",
        f"  - brick.png is not there [missing_image] (peer {peer.id[:12]})",
        "    next: send it with --asset",
    ]


def test_json_is_a_contract(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1])
    job.state, job.held_because = "held", [REASON]
    assert json.loads(peerctl("why", "castle", "--json").out) == {
        "apiVersion": "peerctl/v1", "kind": "Why", "job": job.id, "state": "held", "reasons": [{**REASON, "peer": peer.id}],
    }  # fmt: skip


def test_nothing_holds_it_back(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.add("castle", [1])
    assert "nothing holds it back" in peerctl("why", "castle").out
