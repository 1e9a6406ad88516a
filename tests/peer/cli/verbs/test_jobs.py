import json

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def test_all_pages_are_read(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.page = 2
    ids = [mesh.add(f"job{number}", [1]).id for number in range(5)]
    assert peerctl("jobs", "-o", "name").out.split() == ids
    assert peerctl("jobs", "-o", "name", "--limit", "3").out.split() == ids[:3]


def test_the_list_as_json_is_a_contract(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1, 2])
    assert json.loads(peerctl("jobs", "--json").out) == {"apiVersion": "peerctl/v1", "kind": "Jobs", "jobs": [job.view()]}


def test_a_table_for_people_without_escape_sequences(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("evil\x1b[2Jname\n", [1, 2])
    job.step()
    lines = peerctl("jobs").out.splitlines()
    assert lines[0].split() == ["ID", "NAME", "STATE", "FRAMES", "PROGRESS", "ETA", "PRIORITY", "WHY"]
    assert "evil\\x1b[2Jname\\n" in lines[1]
    assert "1/2" in lines[1]
    assert "#####.....  50 %" in lines[1]
    assert len(lines) == 2


def test_wide_shows_more_and_is_never_cut(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.add("n" * 200, [1], label=["show=a"])
    out = peerctl("-o", "wide", "jobs").out
    assert "n" * 200 in out
    assert "show=a" in out
    assert "LABELS" in out


def test_only_one_state(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.add("a", [1])
    mesh.add("b", [1]).state = "held"
    assert peerctl("jobs", "--state", "held", "-o", "name").out.split() == [
        job.id for job in mesh.jobs.values() if job.name == "b"
    ]
    assert peerctl("jobs", "--state", "sleepy").code == 2


def test_no_jobs_is_said_beside_the_data(peer: FakePeer, peerctl: Peerctl) -> None:
    ran = peerctl("jobs")
    assert ran.out == ""
    assert "peerctl submit" in ran.err
