"""Peers with a user port and a mesh port, over fake meshes and stores; requests pass between them over real HTTP."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from peer.telemetry.metrics import Metrics
from peer.web.app import make_app, make_forwarded_handler, serving
from peer.web.site import WebOptions
from protocol.errors import Invalid, Unavailable
from protocol.ids import Digest, PeerId
from tests.fakes.memory_store import MemoryBlobs
from tests.fakes.mesh import FakeMesh

SCENE = b"BLENDER-v405" + bytes(1_000)


def check_scene(renderer: str, path: Path) -> tuple[int, int]:
    """A small stand-in: the real one walks the blocks."""
    header = re.match(rb"BLENDER[-_][vV](\d)(\d\d)", path.read_bytes())
    if header is None:
        raise Invalid("not_a_blend", "the scene is not a .blend file")
    return int(header[1]), int(header[2])


@dataclass(slots=True)
class WebPeer:
    """One peer: `client` speaks to its user port; `passed_on` lists the paths that other peers asked it for."""

    mesh: FakeMesh
    blobs: MemoryBlobs
    client: TestClient[web.Request, web.Application]
    app: web.Application
    metrics: Metrics
    mesh_port: TestServer
    passed_on: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def submit(self, frames: str = "1-3", **fields: str) -> Any:
        """A null job's answer, as JSON."""
        form = {"renderer": "null", "frames": frames, **fields}
        response = await self.client.post("/api/v1/jobs", data=multipart(*form.items()))
        assert response.status == 202, await response.text()
        return await response.json()


def multipart(*fields: tuple[str, str]) -> aiohttp.FormData:
    """A form of plain fields; add files to it with their names left as they are."""
    form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    for name, value in fields:
        form.add_field(name, value)
    return form


@dataclass(frozen=True, slots=True)
class Reply:
    """Satisfies `peer.ports.ForwardedReply`."""

    status: int
    headers: Sequence[tuple[str, str]]
    content: aiohttp.StreamReader

    async def read(self) -> bytes:
        try:
            return await self.content.readany()
        except aiohttp.ClientError as error:
            raise Unavailable("peer_lost", "it broke off") from error


class Farm:
    """Peers by name that know one another. `down` refuse connections, though they count as alive."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession) -> None:
        self.folder, self.session = folder, session
        self.peers: dict[PeerId, WebPeer] = {}
        self.down: set[PeerId] = set()

    async def add(self, name: str, **options: Any) -> WebPeer:
        blobs = MemoryBlobs(self.folder / name)
        mesh, metrics = FakeMesh(name, blobs), Metrics()
        app = make_app(mesh, blobs, self.forward, WebOptions("1.0-test", check_scene, **options), metrics)
        server = TestServer(app)
        await server.start_server(**serving())
        client: TestClient[web.Request, web.Application] = TestClient(server, cookie_jar=aiohttp.DummyCookieJar())
        handle = make_forwarded_handler(app)
        mesh_app = web.Application()
        peer = WebPeer(mesh, blobs, client, app, metrics, TestServer(mesh_app))

        async def forwarded(request: web.Request) -> web.StreamResponse:
            peer.passed_on.append((request.raw_path, dict(request.headers)))
            return await handle(request, PeerId("f" * 64))

        mesh_app.router.add_route("*", "/mesh/v1/api/{path:.*}", forwarded)
        await peer.mesh_port.start_server()
        for other in self.peers.values():
            for one, two in ((mesh, other.mesh), (other.mesh, mesh)):
                one.others.append(two)
                one.alive.add(two.me)
        self.peers[mesh.me] = peer
        return peer

    @asynccontextmanager
    async def forward(
        self,
        peer: PeerId,
        *,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        body: AsyncIterable[bytes] | None = None,
    ) -> AsyncIterator[Reply]:
        if peer in self.down or peer not in self.peers:
            raise Unavailable("peer_unreachable", f"{peer[:8]} does not answer")
        url = self.peers[peer].mesh_port.make_url("/mesh/v1/api/")
        async with self.session.request(method, f"{url}{path}", headers=headers, data=body) as response:
            yield Reply(response.status, list(response.headers.items()), response.content)

    async def close(self) -> None:
        for peer in self.peers.values():
            await peer.client.close()
            await peer.mesh_port.close()


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[Farm]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        farm = Farm(tmp_path, session)
        yield farm
        await farm.close()


@pytest.fixture
async def peer(farm: Farm) -> WebPeer:
    return await farm.add("one")


async def problem_of(response: aiohttp.ClientResponse, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer that must be one."""
    text = await response.text()
    assert response.status == status, text
    assert response.content_type == "application/problem+json", text
    document: dict[str, Any] = await response.json()
    assert document["code"] == code, text
    assert document["status"] == status
    assert document["request_id"] == response.headers["X-Request-Id"]
    return document


SceneSender = Callable[..., Awaitable[aiohttp.ClientResponse]]


@pytest.fixture
def send_scene(peer: WebPeer) -> SceneSender:
    """Post a scene with fields and assets (relative name to bytes)."""

    async def send(
        *fields: tuple[str, str], assets: dict[str, bytes] | None = None, name: str = "shot.blend", data: bytes = SCENE
    ) -> Any:
        form = multipart()
        form.add_field("scene", data, filename=name)
        for asset, content in (assets or {}).items():
            form.add_field("asset", content, filename=asset)
        for key, value in fields:
            form.add_field(key, value)
        return await peer.client.post("/api/v1/jobs", data=form)

    return send


def blob_count(peer: WebPeer) -> int:
    return len(peer.blobs.blobs)


def digest(text: str) -> Digest:
    return Digest(text * 64)
