"""Words for talking to `/v1` as a client of Consul does."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.fakes.registry import FakeRegistry
from tests.peer.web.conftest import Farm, WebPeer


class Client:
    """One peer's `/v1`. `get` and `put` expect success; `fails` expects a status and returns the sentence."""

    def __init__(self, peer: WebPeer) -> None:
        self.peer = peer

    @property
    def registry(self) -> FakeRegistry:
        return self.peer.mesh.registry

    @property
    def name(self) -> str:
        """The peer's name as a node."""
        node = self.registry.node(self.registry.me)
        assert node is not None
        return node.name

    async def send(self, method: str, path: str, **kwargs: Any) -> aiohttp.ClientResponse:
        return await self.peer.client.request(method, f"/v1/{path}", **kwargs)

    async def get(self, path: str) -> Any:
        response = await self.send("GET", path)
        assert response.status == 200, await response.text()
        assert response.content_type == "application/json"
        assert int(response.headers["X-Consul-Index"]) > 0
        assert response.headers["X-Consul-KnownLeader"] == "true"
        assert response.headers["X-Consul-LastContact"] == "0"
        return await response.json()

    async def index(self, path: str) -> int:
        return int((await self.send("GET", path)).headers["X-Consul-Index"])

    async def put(self, path: str, body: Any = None) -> None:
        response = await self.send("PUT", path, **({} if body is None else {"json": body}))
        assert (response.status, await response.read()) == (200, b"")

    async def fails(self, status: int, path: str, *, method: str = "PUT", **kwargs: Any) -> str:
        response = await self.send(method, path, **kwargs)
        text = await response.text()
        assert response.status == status, text
        assert response.content_type == "text/plain"
        return text


@pytest.fixture
async def client(peer: WebPeer) -> Client:
    return Client(peer)


@pytest.fixture
async def other(farm: Farm, client: Client) -> Client:
    two = Client(await farm.add("two"))
    client.registry.meet(two.registry)
    return two


TTL = {"Name": "web", "ID": "web-1", "Port": 80, "Tags": ["a"], "Check": {"TTL": "10s"}}
