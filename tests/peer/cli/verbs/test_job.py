import json
from pathlib import Path

import pytest

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def test_by_id_prefix_and_name(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1])
    for text in (job.id, job.id[:6], "castle"):
        assert peerctl("job", text, "-o", "name").out.strip() == job.id


@pytest.mark.parametrize("name", ["a b/c d", "100%?#", "größe", "..", ".", "-x-"])
def test_odd_names_reach_the_mesh_as_they_are(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, name: str) -> None:
    mesh.add("other", [1])
    job = mesh.add(name, [1])
    assert peerctl("job", "-o", "name", "--", name).out.strip() == job.id


def test_unknown_and_ambiguous(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    ran = peerctl("job", "nothing")
    assert ran.code == 3
    assert "no job is called 'nothing'" in ran.err
    mesh.add("twin", [1])
    mesh.add("twin", [1])
    assert peerctl("job", "twin").code == 5


def test_json_is_a_contract(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1, 2])
    shown = json.loads(peerctl("job", "castle", "--json").out)
    assert shown == {"apiVersion": "peerctl/v1", "kind": "Job", **job.view()}


def test_a_screen_for_people(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    job = mesh.add("castle", [1, 2])
    job.stands_still = True
    out = peerctl("job", "castle").out
    assert f"Id          {job.id}" in out
    assert "Waits       every slot is busy [no_slot]; wait" in out


def test_watch_stays_until_the_end(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.add("castle", [1, 2, 3]).failing = frozenset({3})
    ran = peerctl("job", "castle", "--watch", "--json")
    assert ran.code == 9
    assert json.loads(ran.out)["frames"]["failed"] == 1


def test_something_else_than_a_peer_is_called_so(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, tmp_path: Path) -> None:
    from aiohttp import web

    async def other(request: web.Request) -> web.StreamResponse | None:
        return web.Response(text="<html>It works!</html>", content_type="text/html")

    mesh.mishaps.append(other)
    ran = peerctl("job", "castle")
    assert ran.code == 1
    assert "something that no peer says (text/html" in ran.err
