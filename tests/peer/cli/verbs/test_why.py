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


def test_why_a_peer_steals_nothing(peer: FakePeer, peerctl: Peerctl) -> None:
    peer.draining = True
    out = peerctl("why", peer.name).out
    assert out.splitlines()[0] == f"peer {peer.name} takes no work"
    assert f"peerctl undrain {peer.name}" in out
    assert json.loads(peerctl("why", peer.name, "--json").out)["reasons"][0]["peer"] == peer.id


def test_a_peer_that_takes_work_is_said_to(peer: FakePeer, peerctl: Peerctl) -> None:
    assert peerctl("why", peer.id[:8]).out.strip() == f"peer {peer.name} takes work: nothing holds it back"


def test_what_is_neither_a_job_nor_a_peer_is_not_found(peer: FakePeer, peerctl: Peerctl) -> None:
    ran = peerctl("why", "nobody")
    assert ran.code == 3
    assert "nobody" in ran.err


def test_a_job_goes_before_a_peer_of_the_same_name(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.add(peer.name, [1])
    assert f"job {peer.name}" in peerctl("why", peer.name).out
