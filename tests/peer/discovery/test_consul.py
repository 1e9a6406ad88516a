"""A peer and its Consul agent: one that works, a real one, and agents that are down, slow or lying."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from peer.discovery.advert import Advert
from peer.discovery.consul import ConsulFault, ConsulProvider, Timing, _Agent
from peer.discovery.ways import ConsulWay
from protocol import limits
from protocol.ids import Address
from tests.fuzzing import changed, deep_json, examples, json_values, refused, spoilt
from tests.peer.discovery.adverts import Ear, make_advert, make_id, make_mesh, running
from tests.peer.discovery.agents import FakeAgent, fake_agent, real_agent
from tests.waiting import wait_until

QUICK = Timing(reply_s=0.5, wait_s=2, least_s=0.01, retry_s=0.02, retry_s_max=0.05, renew_s=0.05, goodbye_s=0.5)


def make_provider(
    url: str, ear: Ear, advert: Advert | None = None, *, token: str | None = None, timing: Timing = QUICK
) -> ConsulProvider:
    advert = advert or make_advert()
    return ConsulProvider(
        ConsulWay(url), advert, url=f"http://127.0.0.1:{advert.port}", host="127.0.0.1", token=token,
        on_notice=ear.notices.append, timing=timing,
    )  # fmt: skip


@pytest.fixture
async def agent() -> AsyncIterator[FakeAgent]:
    async with fake_agent() as made:
        yield made


async def test_peers_of_one_mesh_find_each_other_and_leave_no_trace(agent: FakeAgent):
    mesh, one, two, other = make_mesh(), Ear(), Ear(), Ear()
    async with (
        running(make_provider(agent.url, one, make_advert(mesh=mesh, port=1001)), one),
        running(make_provider(agent.url, other, make_advert(mesh=make_mesh(), port=1002)), other),
        running(make_provider(agent.url, two, make_advert(mesh=mesh, port=1003)), two),
    ):
        await wait_until(lambda: one.found and two.found)
        await wait_until(lambda: len(agent.services) == 3)
    assert (set(one.found), set(two.found)) == ({Address("127.0.0.1", 1003)}, {Address("127.0.0.1", 1001)})
    assert other.found == []
    assert agent.services == {}
    assert one.notices + two.notices + other.notices == []


async def test_the_registration_has_a_check_that_takes_the_peer_out(agent: FakeAgent):
    ear, advert = Ear(), replace(make_advert(port=1004), tls=True)
    async with running(make_provider(agent.url, ear, advert), ear):
        await wait_until(lambda: agent.services)
        (body,) = agent.services.values()
    assert body["ID"] == f"rendermesh-{advert.peer[:16]}"
    assert (body["Name"], body["Address"], body["Port"], body["Meta"]) == ("rendermesh", "127.0.0.1", 1004, advert.fields())
    assert body["Check"] == {
        "HTTP": "http://127.0.0.1:1004/health", "Interval": "10s", "Timeout": "5s", "TLSSkipVerify": True, "Status": "passing",
        "DeregisterCriticalServiceAfter": "300s",
    }  # fmt: skip


async def test_an_agent_that_forgot_is_told_again_and_one_that_knows_is_not(agent: FakeAgent):
    ear = Ear()
    async with running(make_provider(agent.url, ear), ear):
        await wait_until(lambda: sum(path.startswith("/v1/agent/service/rendermesh-") for _, path, _ in agent.requests) >= 3)
        assert sum(path == "/v1/agent/service/register" for _, path, _ in agent.requests) == 1
        await agent.change(dict.fromkeys(agent.services))
        await wait_until(lambda: agent.services)


async def test_the_token_goes_along_and_nowhere_else(agent: FakeAgent):
    ear = Ear()
    agent.lies = refusing(403)
    async with running(make_provider(agent.url, ear, token="hush-canary"), ear):
        await wait_until(lambda: ear.errors)
    assert {token for _, _, token in agent.requests} == {"hush-canary"}
    assert "PEER_CONSUL_TOKEN" in ear.errors[0]
    assert "hush" not in repr(ear.notices)


async def test_a_token_over_an_open_wire_is_a_warning():
    ear = Ear()
    async with running(make_provider("http://192.0.2.1:8500", ear, token="hush-canary"), ear):
        await wait_until(lambda: ear.errors)
    assert "unencrypted" in ear.errors[0]


async def test_a_redirect_is_not_followed(agent: FakeAgent):
    async with fake_agent() as elsewhere:

        async def redirect(_request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(f"{elsewhere.url}/v1/agent/service/register")

        agent.lies, ear = redirect, Ear()
        async with running(make_provider(agent.url, ear, token="hush-canary"), ear):
            await wait_until(lambda: len(agent.requests) > 4)
        assert elsewhere.requests == []


async def test_an_agent_that_is_down_is_a_notice_and_is_tried_again_when_it_is_back():
    async with fake_agent() as gone:
        url = gone.url
    ear = Ear()
    async with running(make_provider(url, ear), ear):
        await wait_until(lambda: len(ear.errors) >= 2)  # one for each of the two things that we want of it
        assert all(url in text for text in ear.errors)
    assert ear.found == []


async def test_an_agent_that_comes_back_is_told_as_recovered(agent: FakeAgent):
    mesh, ear = make_mesh(), Ear()
    other = make_advert(mesh=mesh, port=1006)
    agent.lies = refusing(500)
    async with running(make_provider(agent.url, ear, make_advert(mesh=mesh)), ear):
        await wait_until(lambda: len(ear.errors) == 2)
        agent.lies = None
        await agent.change({"x": make_provider(agent.url, Ear(), other).registration()})
        await wait_until(lambda: ear.found)
        await wait_until(lambda: [notice.event for notice in ear.notices].count("discovery_recovered") == 2)


async def test_an_agent_that_is_silent_holds_up_neither_start_nor_end(agent: FakeAgent):
    async def silent(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    agent.lies, ear = silent, Ear()
    async with running(make_provider(agent.url, ear, timing=replace(QUICK, reply_s=0.05, goodbye_s=0.05)), ear):
        await wait_until(lambda: len(ear.errors) == 2)
        assert "no answer to" in ear.errors[0]


async def test_an_agent_that_falls_silent_after_registration_does_not_hold_up_the_end(agent: FakeAgent):
    ear = Ear()
    async with running(make_provider(agent.url, ear, timing=replace(QUICK, goodbye_s=0.05)), ear):
        await wait_until(lambda: agent.services)

        async def silent(_request: web.Request) -> web.StreamResponse:
            await asyncio.Event().wait()
            raise AssertionError

        agent.lies = silent


async def test_a_body_that_trickles_is_cut(agent: FakeAgent):
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"[")
        await asyncio.Event().wait()
        return response

    agent.lies, ear = trickle, Ear()
    async with running(make_provider(agent.url, ear, timing=replace(QUICK, reply_s=0.1)), ear):
        await wait_until(lambda: any("within" in text for text in ear.errors))


def refusing(status: int) -> Any:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="no " * 10_000)

    return refuse


def saying(body: bytes, **headers: str) -> Any:
    async def say(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"" if request.method == "PUT" else body, headers=headers)

    return say


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"null", "not with a list"),
        (b'{"a": 1}', "not with a list"),
        (b"[" * 200_000, "no JSON"),
        (b"9" * 10_000, "no JSON"),
        (b" " * (limits.CONSUL_REPLY_BYTES_MAX + 1), "more than"),
    ],
)
async def test_nonsense_is_a_notice_and_the_next_question_is_asked(agent: FakeAgent, body: bytes, hint: str):
    agent.lies, ear = saying(body), Ear()
    async with running(make_provider(agent.url, ear, timing=replace(QUICK, reply_s=5.0)), ear):
        await wait_until(lambda: any(hint in text for text in ear.errors))
        asked = len(agent.requests)
        await wait_until(lambda: len(agent.requests) > asked)
    assert ear.found == []


async def test_a_packed_bomb_is_not_unpacked(agent: FakeAgent):
    bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    agent.lies, ear = saying(bomb, **{"Content-Encoding": "gzip"}), Ear()
    async with running(make_provider(agent.url, ear, timing=replace(QUICK, reply_s=5.0)), ear):
        await wait_until(lambda: any("no JSON" in text for text in ear.errors))


def candidates(*rows: object, mesh: str = "ab" * 8) -> set[Address]:
    provider = make_provider("http://127.0.0.1:1", Ear(), make_advert(mesh=mesh, port=7700))
    return set(provider._candidates(list(rows)))


def row(service: object, node: object = None) -> dict[str, object]:
    return {"Service": service, "Node": node or {"Address": "10.0.0.9"}}


GOOD_META = {"txtvers": "1", "id": make_id(), "m": "ab" * 8, "gp": "7711"}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (row({"Address": "127.0.0.2", "Port": 1, "Meta": GOOD_META}), "127.0.0.2:7711"),
        (row({"Address": "", "Port": 1, "Meta": GOOD_META}, {"Address": "127.0.0.3"}), "127.0.0.3:7711"),
        (row({"Address": "127.0.0.2", "Port": 1}), "127.0.0.2:1"),
        (row({"Address": "127.0.0.2", "Port": 1, "Meta": None}), "127.0.0.2:1"),
        (row({"Address": "127.0.0.2", "Port": 1, "Meta": {"note": "by hand"}}), "127.0.0.2:1"),
        (row({"Address": "127.0.0.2", "Port": 1, "Meta": {"id": make_id()}}), "127.0.0.2:1"),
        (row({"Address": "127.0.0.2", "Port": 1, "Meta": GOOD_META | {"m": "cd" * 8}}), None),
        (row({"Address": "127.0.0.2", "Port": 1, "Meta": GOOD_META | {"id": "x"}}), None),
        (row({"Address": "127.0.0.2", "Port": 1, "Meta": GOOD_META | {"gp": "0"}}), None),
        (row({"Address": "127.0.0.2", "Port": 1, "Meta": GOOD_META | {"gp": 7}}), "127.0.0.2:1"),
        (row({"Address": "oak", "Port": 1}), None),
        (row({"Address": 7, "Port": 1}), None),
        (row({"Address": "127.0.0.2", "Port": 0}), None),
        (row({"Address": "127.0.0.2", "Port": "1"}), None),
        (row({"Address": "127.0.0.2", "Port": True, "Meta": {}}), None),
        (row({"Address": "127.0.0.2", "Port": 1e9}), None),
        (row({"Address": "127.0.0.2"}), None),
        (row([]), None),
        ({}, None),
        ([], None),
        (None, None),
        (7, None),
    ],
)
def test_what_is_made_of_an_entry(entry: object, expected: str | None):
    assert {str(address) for address in candidates(entry)} == ({expected} if expected else set())


def test_ourselves_are_no_candidate_by_registration_or_by_id():
    ear, advert = Ear(), make_advert(port=7700)
    provider = make_provider("http://127.0.0.1:1", ear, advert)
    own = provider.registration()
    assert provider._candidates([row(own), row(own | {"ID": "other"})]) == ()


def test_a_huge_list_yields_some_by_lot():
    rows = [row({"Address": "127.0.0.2", "Port": port}) for port in range(1, 5_000)]
    assert len(candidates(*rows)) == limits.DISCOVERY_CANDIDATES_MAX


@pytest.mark.parametrize("index", ["", "0", "-1", "x", "1e3", "9" * 5_000, str(2**64)])
async def test_an_index_that_is_none_begins_anew(agent: FakeAgent, index: str):
    agent.lies, ear = saying(b"[]", **({"X-Consul-Index": index} if index else {})), Ear()
    async with running(make_provider(agent.url, ear), ear):
        await wait_until(lambda: sum("health/service" in path for _, path, _ in agent.requests) >= 2)
    assert not any("index=" in path for _, path, _ in agent.requests)


async def test_an_index_that_goes_back_begins_anew(agent: FakeAgent):
    numbers = iter([9, 5, 5, 5, 5])

    async def back(request: web.Request) -> web.StreamResponse:
        return web.json_response([], headers={"X-Consul-Index": str(next(numbers, 5))})

    agent.lies, ear = back, Ear()
    async with running(make_provider(agent.url, ear), ear):
        await wait_until(lambda: sum("health/service" in path for _, path, _ in agent.requests) >= 4)
    asked = [path.partition("?")[2] for _, path, _ in agent.requests if "health/service" in path]
    assert asked[:4] == ["passing=1", "passing=1&index=9&wait=2s", "passing=1", "passing=1&index=5&wait=2s"]


@pytest.mark.consul
async def test_a_real_agent(tmp_path: Path):
    mesh, one, two = make_mesh(), Ear(), Ear()
    async with real_agent(tmp_path) as url:
        async with (
            running(make_provider(url, one, make_advert(mesh=mesh, port=1001), timing=replace(QUICK, reply_s=5.0)), one),
            running(make_provider(url, two, make_advert(mesh=mesh, port=1002), timing=replace(QUICK, reply_s=5.0)), two),
        ):
            await wait_until(lambda: one.found and two.found)
        assert (set(one.found), set(two.found)) == ({Address("127.0.0.1", 1002)}, {Address("127.0.0.1", 1001)})
        assert one.notices + two.notices == []
        async with aiohttp.ClientSession() as session, session.get(f"{url}/v1/agent/services") as response:
            assert await response.json() == {}


NEIGHBOUR = {
    "Node": {"Address": "10.0.0.99"}, "Checks": [],
    "Service": {"ID": "x", "Address": "127.0.0.2", "Port": 7700, "Meta": make_advert(mesh="aa" * 8).fields()},
}  # fmt: skip
BY_HAND = {"Node": {"Address": "127.0.0.3"}, "Service": {"ID": "y", "Port": 81}}
ANSWERS = st.lists(spoilt(NEIGHBOUR) | spoilt(BY_HAND) | json_values, max_size=4) | json_values


@examples(300)
@given(ANSWERS)
def test_any_answer_names_candidates_that_can_be_dialled_or_is_a_fault(answer: Any):
    provider = make_provider("http://127.0.0.1:1", Ear(), make_advert(mesh="aa" * 8))
    error = refused(provider._candidates, answer, by=ConsulFault)
    assert (error is None) is isinstance(answer, list)
    for address in () if error is not None else provider._candidates(answer):
        assert ipaddress.ip_address(address.host).version == 4
        assert 1 <= address.port <= 65_535


INDEXES = st.sampled_from(["7", "0", "-1", "9" * 20, "9" * 4_000, "x", "\u0663", ""])
BODIES = ANSWERS.map(json.dumps).map(str.encode).flatmap(changed) | deep_json.map(str.encode) | st.binary(max_size=40)


@examples(60)
@given(BODIES, INDEXES, st.sampled_from([200, 200, 200, 204, 301, 403, 500]))
async def test_whatever_an_agent_sends_is_an_index_or_a_fault(agent: FakeAgent, body: bytes, index: str, status: int):
    async def lie(_request: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers={"X-Consul-Index": index})

    agent.lies = lie
    async with aiohttp.ClientSession() as session:
        try:
            raised = await make_provider(agent.url, Ear())._look(_Agent(session, agent.url, QUICK), 0, lambda _: None)
        except ConsulFault:
            return
    assert 0 <= raised < 2**64
