import json

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def test_a_new_key_is_the_only_thing_on_stdout(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    ran = peerctl("token", "create", "alice", "--role", "submitter")
    assert (ran.code, ran.out) == (0, f"mk_{'0' * 16}_{'5' * 40}\n")
    assert "shown this once" in ran.err
    assert "5" * 40 not in ran.err
    assert mesh.seen[-1].json == {"name": "alice", "role": "submitter"}
    made = json.loads(peerctl("token", "create", "bob", "--role", "viewer", "--json").out)
    assert (made["kind"], made["name"], made["token"][:3]) == ("NewToken", "bob", "mk_")


def test_the_list_shows_ids_and_states(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    assert peerctl("token", "list").err == "peerctl: no keys\n"
    peerctl("token", "create", "alice", "--role", "submitter")
    peerctl("token", "create", "bob", "--role", "viewer")
    peerctl("token", "revoke", "bob")
    lines = [line.split() for line in peerctl("token", "list").out.splitlines()]
    assert lines[0] == ["ID", "NAME", "ROLE", "CREATED", "STATE"]
    assert [line[1:3] + line[4:] for line in lines[1:]] == [["alice", "submitter", "valid"], ["bob", "viewer", "revoked"]]
    assert peerctl("token", "list", "-o", "name").out.split() == ["0" * 16, "0" * 15 + "1"]
    assert json.loads(peerctl("token", "list", "--json").out)["kind"] == "Tokens"


def test_revoking_by_the_key_itself_does_not_send_its_secret(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    key = peerctl("token", "create", "alice", "--role", "submitter").out.strip()
    assert "is revoked" in peerctl("token", "revoke", key).out
    assert "5" * 40 not in mesh.seen[-1].path
    assert peerctl("token", "revoke", "nobody").code == 3


def test_a_role_that_does_not_exist_is_a_usage_error(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    assert peerctl("token", "create", "alice", "--role", "root").code == 2
    assert peerctl("token", "create", "alice").code == 2
    assert not mesh.seen
