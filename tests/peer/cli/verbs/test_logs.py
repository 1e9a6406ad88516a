import json

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def test_what_happened_so_far(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1, 2, 3])
    job.step()
    job.stands_still = True
    (line,) = peerctl("logs", "castle").out.splitlines()
    assert line.startswith("2026-01-02T03:04:01Z  frame_done  job=")
    assert "frame=1" in line


def test_follow_ends_with_the_job(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.add("castle", [1, 2, 3])
    ran = peerctl("logs", "castle", "-f", "--json")
    assert ran.code == 0
    assert [json.loads(line)["event"] for line in ran.out.splitlines()] == ["frame_done"] * 3 + ["job_completed"]


def test_the_renderers_text_without_escape_sequences(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.add("castle", [1, 2, 3])
    ran = peerctl("logs", "castle", "--frame", "2")
    assert ran.out == "Fra:2 Mem:12M\n\\x1b[2JSaved\n"


def test_the_text_of_a_frame_is_followed_until_it_ends(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1])
    job.done = [1]
    assert peerctl("logs", "castle", "--frame", "1", "-f").out.startswith("Fra:1")
