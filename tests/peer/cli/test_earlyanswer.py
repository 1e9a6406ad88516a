import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import web

from peer.cli.client import MeshClient
from peer.cli.failures import Unreachable
from peer.cli.settings import Host
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


@pytest.mark.parametrize("at", ["HTTP/1.1 200 OK\r\n", "Content-Type: application/json\r\n", "Content-Le"])
def test_an_answer_that_ends_in_its_head_is_none(at: str) -> None:
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    cut = head[: head.index(at) + len(at)].encode()
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:

        def answer() -> None:
            for _ in range(2):  # it is asked once more, as after any broken connection
                connection, _ = server.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(cut)

        answered = pool.submit(answer)
        url = "http://{}:{}".format(*server.getsockname())
        with pytest.raises(Unreachable):
            MeshClient([Host(url)], named=True, say=lambda _: None).get("/api/v1/jobs")
        answered.result(20)
