from __future__ import annotations

import json
from pathlib import Path

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer

SECRET = "b" * 64
TEXT = f"rendermesh-key-1:{'a' * 32}:{SECRET}"


def test_the_list_shows_fingerprints_and_who_has_not_confirmed(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.keys_behind = ["c" * 64]
    ran = peerctl("keys", "list")
    assert [line.split() for line in ran.out.splitlines()][1] == ["f" * 16, "yes", "3", "c" * 8]
    assert "not confirmed by cccccccc" in ran.err
    assert json.loads(peerctl("keys", "list", "--json").out)["kind"] == "MeshKeys"
    assert peerctl("keys", "list", "-o", "name").out.split() == ["f" * 16]


def test_a_key_goes_from_its_file_into_the_body_and_nowhere_else(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    Path("new.key").write_text(TEXT + "\n")
    ran = peerctl("keys", "install", "new.key", "--expel", "oak", "--expel", "elm")
    assert ran.code == 0
    assert mesh.seen[-1].json == {"key": TEXT, "expel": ["oak", "elm"]}
    assert SECRET not in ran.out + ran.err + mesh.seen[-1].path
    peerctl("keys", "install", "new.key")
    assert mesh.seen[-1].json == {"key": TEXT}


def test_a_key_is_used_and_one_removed(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    assert peerctl("keys", "use", "f" * 16).code == 0
    assert (mesh.seen[-1].path, mesh.seen[-1].json) == (f"/api/v1/keys/{'f' * 16}/use", {})
    assert peerctl("keys", "remove", "f" * 16, "--force").code == 0
    assert (mesh.seen[-1].path, mesh.seen[-1].json) == (f"/api/v1/keys/{'f' * 16}", {"force": True})
    assert peerctl("keys", "use", "0" * 16).code == 3


def test_a_file_that_is_not_there_or_empty_is_a_usage_error(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    assert peerctl("keys", "install", "nowhere.key").code == 2
    Path("empty.key").write_text("\n")
    assert peerctl("keys", "install", "empty.key").code == 2
    assert not mesh.seen
