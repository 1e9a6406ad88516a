from __future__ import annotations

import asyncio
import random

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from peer.web.consul import queries
from peer.web.site import SITE, Site
from protocol import limits
from protocol.services import ALL_NODES
from tests.peer.web.consul.conftest import TTL, Client
from tests.waiting import wait_until


def site(client: Client) -> Site:
    return client.peer.app[SITE]


async def waiting(client: Client, path: str) -> asyncio.Task[aiohttp.ClientResponse]:
    """A query that has begun to wait."""
    before = site(client).waiting.used
    task = asyncio.create_task(client.send("GET", path))
    await wait_until(lambda: site(client).waiting.used == before + 1)
    return task


async def test_a_query_waits_for_the_next_change_and_shows_it(client: Client):
    index = await client.index("health/service/web")
    task = await waiting(client, f"health/service/web?index={index}&wait=60s")
    await client.put("agent/service/register", {"Name": "other"})
    await asyncio.sleep(0)
    assert not task.done()  # somebody else's change
    await client.put("agent/service/register", TTL)
    response = await task
    assert int(response.headers["X-Consul-Index"]) > index
    assert len(await response.json()) == 1


async def test_a_change_at_another_peer_wakes_too(client: Client, other: Client):
    index = await client.index("health/service/web")
    task = await waiting(client, f"health/service/web?index={index}&wait=60s")
    await other.put("agent/service/register", TTL)
    assert (await task).status == 200


async def test_a_peer_that_dies_wakes_who_waits_for_its_services(client: Client, other: Client):
    await other.put("agent/service/register", {"Name": "web"})
    index = await client.index("health/service/web?passing")
    task = await waiting(client, f"health/service/web?passing&index={index}&wait=60s")
    client.registry.see(other.registry.me, "dead", other.registry.card)
    assert await (await task).json() == []


async def test_when_the_time_is_over_the_answer_is_the_same(client: Client):
    await client.put("agent/service/register", TTL)
    index = await client.index("health/service/web")
    response = await client.send("GET", f"health/service/web?index={index}&wait=50ms")
    assert int(response.headers["X-Consul-Index"]) == index
    assert len(await response.json()) == 1


@pytest.mark.parametrize("difference", [-1, 1, 10_000])
async def test_an_index_that_is_not_ours_answers_at_once(client: Client, difference: int):
    index = await client.index("catalog/nodes")
    response = await client.send("GET", f"catalog/nodes?index={index + difference}&wait=10m")
    assert int(response.headers["X-Consul-Index"]) == index


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("index=x", "Invalid index"),
        ("index=-1", "Invalid index"),
        ("index=1.5", "Invalid index"),
        ("index=99999999999999999999", "Invalid index"),
        ("index=1&wait=soon", "Invalid wait time"),
        ("index=1&wait=-1s", "Invalid wait time"),
        ("wait=5", "Invalid wait time"),
    ],
)
async def test_bad_values_are_refused(client: Client, query: str, text: str):
    assert await client.fails(400, f"health/service/web?{query}", method="GET") == text


async def test_waits_have_a_default_and_a_cap(client: Client, monkeypatch: pytest.MonkeyPatch):
    seen: list[float] = []

    async def wait(site, request, topics, asked, wait_s: float) -> None:
        seen.append(wait_s)

    monkeypatch.setattr(queries, "_wait", wait)
    for query in ("index=1", "index=1&wait=2h", "index=1&wait=30s", "index=1&wait=0s", "index=0&wait=30s"):
        await client.get(f"catalog/nodes?{query}")
    assert seen == [limits.BLOCKING_WAIT_S_DEFAULT, limits.BLOCKING_WAIT_S_MAX, 30.0, limits.BLOCKING_WAIT_S_DEFAULT]


async def test_a_wait_is_lengthened_by_a_sixteenth_at_most(client: Client, monkeypatch: pytest.MonkeyPatch):
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return 0.0

    monkeypatch.setattr(random, "uniform", uniform)
    index = await client.index("catalog/nodes")
    await client.get(f"catalog/nodes?index={index}&wait=160ms")
    [(low, high)] = drawn
    assert low == 0
    assert high == pytest.approx(0.01)


async def test_only_so_many_wait_at_once(client: Client, monkeypatch: pytest.MonkeyPatch):
    site(client).waiting._most = 1
    index = await client.index("catalog/nodes")
    task = await waiting(client, f"catalog/nodes?index={index}&wait=60s")
    assert "waiting queries" in await client.fails(503, f"catalog/nodes?index={index}&wait=60s", method="GET")
    assert len(await client.get("catalog/nodes")) == 1  # who does not wait is served
    client.registry.close()
    site(client).closing.set()
    await task


async def test_a_client_that_has_gone_is_not_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "BLOCKING_LOOK_S", 0.01)
    gone = make_mocked_request("GET", "/v1/catalog/nodes")
    assert gone.transport is not None
    monkeypatch.setattr(gone.transport, "is_closing", lambda: False)
    here = site(client)
    asked = client.registry.index_of(ALL_NODES)
    waiting = asyncio.create_task(queries._wait(here, gone, (ALL_NODES,), asked, 600.0))
    await wait_until(lambda: here.waiting.used == 1)
    monkeypatch.setattr(gone.transport, "is_closing", lambda: True)
    await waiting
    assert here.waiting.used == 0


async def test_a_peer_that_stops_answers_those_who_wait(client: Client):
    index = await client.index("catalog/nodes")
    task = await waiting(client, f"catalog/nodes?index={index}&wait=10m")
    await client.peer.app.shutdown()
    assert (await task).status == 200
