import json

import pytest
from aiohttp import web

from peer.cli import bounds
from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer


def test_a_new_job_of_the_same_kind_becomes_last(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    old = mesh.add("castle", [1, 2])
    ran = peerctl("resubmit", "castle", "--json")
    assert ran.code == 0, ran.err
    new = json.loads(ran.out)["id"]
    assert new != old.id
    assert mesh.jobs[new].frames == [1, 2]
    assert peerctl("job", "@last", "-o", "name").out.strip() == new


def test_it_may_be_waited_for_like_any_other(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    old = mesh.add("castle", [1, 2])
    old.state = "cancelled"
    ran = peerctl("resubmit", old.id, "--wait", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["state"] == "completed"
    assert old.state == "cancelled"


def test_a_lost_answer_does_not_make_two_jobs(
    mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "DOWN_WAIT_S", 0.01)
    old = mesh.add("castle", [1, 2])
    mesh.start_peer("other")
    lost: list[str] = []

    async def lose_the_answer(request: web.Request) -> web.StreamResponse | None:
        if request.method == "POST" and len(lost) < 3:
            lost.append(request.headers["Idempotency-Key"])
            assert request.transport is not None
            request.transport.abort()
        return None

    mesh.mishaps.append(lose_the_answer)
    assert peerctl("resubmit", old.id).code == 0
    assert set(lost) == set(mesh.keys)
    assert len(mesh.jobs) == 2


def test_what_nobody_knows_cannot_be_submitted_again(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    assert peerctl("resubmit", "nothing").code == 3
