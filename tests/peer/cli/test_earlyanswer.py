from pathlib import Path

from aiohttp import web

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer, problem


def test_a_refused_scene_is_not_sent_to_its_end(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    with scene.open("wb") as file:
        file.truncate(300 * 2**20)

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        if request.method != "POST":
            return None
        return problem(413, "body_too_large", "the scene is larger than this peer takes", headers={"Connection": "close"})

    mesh.mishaps.append(refuse)
    ran = peerctl("submit", scene)
    assert ran.code == 10
    assert "the scene is larger than this peer takes" in ran.err
    assert "314.6 MB of 314.6 MB" not in ran.err


def test_after_it_the_next_request_is_answered(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl, scene: Path) -> None:
    refusals = [1]

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        if request.method != "POST" or not refusals:
            return None
        refusals.pop()
        return problem(503, "store_full", "no space is left", headers={"Retry-After": "0"})

    with scene.open("wb") as file:
        file.truncate(50 * 2**20)
    mesh.mishaps.append(refuse)
    assert peerctl("submit", scene).code == 0
    assert len(mesh.jobs) == 1
