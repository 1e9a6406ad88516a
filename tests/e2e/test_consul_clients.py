"""Existing clients of Consul against a peer: npm's `consul` 2 and PyPI's `py-consul`, and the same against a real agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import consul
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from consul.exceptions import ACLDisabled, ACLPermissionDenied, BadRequest

from tests.e2e.mesh import Mesh
from tests.e2e.test_access import start_closed
from tests.peer.discovery.agents import real_agent
from tests.waiting import wait_until

TOP = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("consul_client.cjs")
SECONDS = 60


@asynccontextmanager
async def target() -> AsyncIterator[str]:
    """Something to be checked: it answers 200."""

    async def fine(_request: web.Request) -> web.Response:
        return web.Response(text="fine")

    app = web.Application()
    app.router.add_get("/", fine)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/"))
    finally:
        await server.close()


def node_modules() -> str:
    """The folder that holds npm's `consul`; a skip where it cannot be had."""
    if shutil.which("node") is None:
        pytest.skip("needs node")
    ran = subprocess.run([str(TOP / "scripts" / "get-consul"), "npm"], capture_output=True, text=True, timeout=110, check=False)
    if ran.returncode:
        pytest.skip(f"needs npm's consul (scripts/get-consul npm): {ran.stderr[-500:]}")
    return f"{ran.stdout.strip().splitlines()[-1]}/node_modules"


async def npm(url: str, modules: str, target_url: str) -> Any:
    """What the script saw."""
    parts = urlsplit(url)
    command = ["node", str(SCRIPT), str(parts.hostname), str(parts.port), target_url]
    environment = {"PATH": os.environ.get("PATH", ""), "NODE_PATH": modules}
    ran = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.consul
@pytest.mark.slow
async def test_npms_client_sees_a_peer_as_it_sees_an_agent(mesh: Mesh, tmp_path: Path):
    modules = node_modules()
    [peer] = await mesh.start_many("oak")
    async with target() as target_url, real_agent(tmp_path) as url:
        ours = await npm(peer.url, modules, target_url)
        theirs = await npm(url, modules, target_url)
    assert ours["critical"] == []
    assert ours["passing"] == ["node-web"]
    assert ours["service"] == {"port": 8080, "tags": ["node"], "checks": ["serfHealth", "service:node-web"]}
    assert ours["http"] == [["service:node-http-1:1", "passing", "http"], ["service:node-http-1:2", "passing", "tcp"]]
    assert ours["watched"] == {"first": 1, "last": 0, "errors": []}
    assert ours == theirs


def py_consul(url: str, target_url: str) -> dict[str, Any]:
    """What a program that uses py-consul sees. Blocks."""
    parts = urlsplit(url)
    client = consul.Consul(host=parts.hostname, port=parts.port)
    try:
        return calls(client, target_url)
    finally:
        client.http.close()


def calls(client: consul.Consul, target_url: str) -> dict[str, Any]:
    """The tutorial's calls and more."""
    seen: dict[str, Any] = {}
    client.agent.service.register(
        "py-web", service_id="py-1", port=80, tags=["a"], check=consul.Check.ttl("60s"), meta={"k": "v"}
    )
    seen["critical"] = [row["Service"]["ID"] for row in client.health.service("py-web", passing=True)[1]]
    index, rows = client.health.service("py-web")
    seen["checks"] = sorted(check["CheckID"] for check in rows[0]["Checks"])
    seen["meta"] = rows[0]["Service"]["Meta"]
    client.agent.check.ttl_pass("service:py-1", notes="fine")
    later, rows = client.health.service("py-web", passing=True, index=index, wait="10s")
    seen["woken"] = (int(later) > int(index), [row["Service"]["ID"] for row in rows])
    client.agent.service.register("py-http", check=consul.Check.http(target_url, "1s", timeout="2s", deregister="90m"))
    eventually(lambda: client.health.service("py-http", passing=True)[1])
    seen["http"] = [(row["CheckID"], row["Status"]) for row in client.health.checks("py-http")[1]]
    seen["services"] = sorted(client.agent.services())
    seen["agent checks"] = {key: row["Status"] for key, row in client.agent.checks().items()}
    client.agent.check.register("py-load", check=consul.Check.ttl("30s"))
    client.agent.check.ttl_warn("py-load", notes="high")
    seen["warning"] = client.agent.checks()["py-load"]["Output"]
    client.agent.check.ttl_fail("py-load")
    client.agent.check.deregister("py-load")
    client.agent.service.maintenance("py-1", "true", "swap")
    eventually(lambda: not client.health.service("py-web", passing=True)[1])
    client.agent.service.maintenance("py-1", "false")
    eventually(lambda: client.health.service("py-web", passing=True)[1])
    seen["members"] = [member["Status"] for member in client.agent.members()]
    seen["datacenters"] = len(client.catalog.datacenters())
    [node] = client.catalog.nodes()[1]
    assert client.agent.self()["Config"]["NodeName"] == node["Node"]
    seen["node"] = sorted(key for key in client.catalog.node(node["Node"])[1]["Services"] if key.startswith("py-"))
    seen["catalog"] = [row["ServiceID"] for row in client.catalog.service("py-web", tag="a")[1]]
    seen["names"] = sorted(name for name in client.catalog.services()[1] if name.startswith("py-"))
    seen["serf"] = [row["CheckID"] for row in client.health.node(node["Node"])[1] if row["CheckID"] == "serfHealth"]
    seen["any"] = sorted(row["CheckID"] for row in client.health.state("any")[1] if row["ServiceName"].startswith("py-"))
    seen["status"] = (":" in client.status.leader(), len(client.status.peers()))
    client.agent.service.deregister("py-1")
    client.agent.service.deregister("py-http")
    eventually(lambda: not client.health.service("py-web")[1])
    with pytest.raises(BadRequest):
        client.agent.service.register("")
    with pytest.raises(BadRequest):
        client.health.service("x", index="1", wait="x")
    return seen


def eventually(is_so: Callable[[], object]) -> None:
    """In a thread: the event loop of the test is free for the target."""
    asyncio.run(wait_until(is_so))


@pytest.mark.consul
@pytest.mark.slow
async def test_pythons_client_sees_a_peer_as_it_sees_an_agent(mesh: Mesh, tmp_path: Path):
    [peer] = await mesh.start_many("oak")
    async with target() as target_url, real_agent(tmp_path) as url:
        ours = await asyncio.to_thread(py_consul, peer.url, target_url)
        theirs = await asyncio.to_thread(py_consul, url, target_url)
    assert ours["critical"] == []
    assert ours["woken"] == (True, ["py-1"])
    assert ours["http"] == [("service:py-http", "passing")]
    assert ours == theirs


async def test_a_service_survives_a_restart_and_every_peer_answers_for_it(mesh: Mesh):
    one, two = await mesh.start_many("oak", "ash")
    body = {"Name": "web", "ID": "web-1", "Port": 80, "Check": {"TTL": "60s"}}
    assert one.ask("PUT", "/v1/agent/service/register", json_body=body).status == 200
    assert one.ask("PUT", "/v1/agent/check/pass/service:web-1").status == 200

    def passing() -> list[Any]:
        rows: list[Any] = two.ask("GET", "/v1/health/service/web?passing").json
        return rows

    await wait_until(passing)
    before = int(one.ask("GET", "/v1/catalog/nodes").headers["X-Consul-Index"])
    one.kill()
    await wait_until(lambda: not passing())
    [row] = two.ask("GET", "/v1/health/service/web").json
    assert {check["CheckID"]: check["Status"] for check in row["Checks"]}["serfHealth"] == "critical"
    await mesh.restart(one)
    assert int(one.ask("GET", "/v1/catalog/nodes").headers["X-Consul-Index"]) > before
    assert one.ask("PUT", "/v1/agent/check/pass/service:web-1").status == 200
    await wait_until(passing)


async def test_a_failed_peer_is_made_to_leave_and_a_peer_leaves_when_told(mesh: Mesh):
    one, two, three = await mesh.start_many("oak", "ash", "elm")

    def statuses(peer: Any) -> list[int]:
        return sorted(row["Status"] for row in peer.ask("GET", "/v1/agent/members").json)

    name = next(row["Name"] for row in one.ask("GET", "/v1/agent/members").json if row["Name"].startswith("elm-"))
    assert one.ask("PUT", f"/v1/agent/force-leave/{name}").status == 409
    three.kill()
    await wait_until(lambda: statuses(one) == statuses(two) == [1, 1, 4])
    assert one.ask("PUT", f"/v1/agent/force-leave/{name}").status == 200
    await wait_until(lambda: statuses(one) == statuses(two) == [1, 1, 3])
    assert len(two.ask("GET", "/v1/catalog/nodes").json) == 2
    assert two.ask("PUT", "/v1/agent/leave").status == 200
    assert await two.ended() == 0
    await wait_until(lambda: statuses(one) == [1, 3, 3])


async def test_peers_that_never_met_are_joined(mesh: Mesh):
    one = await mesh.start("oak", "--join", "127.0.0.1:1")
    two = await mesh.start("ash", "--join", "127.0.0.1:1")
    assert one.ask("PUT", f"/v1/agent/join/{two.host}").status == 200
    await mesh.together([one, two])


@pytest.mark.skipif(sys.platform != "linux", reason="the other loopback addresses are Linux's")
async def test_behind_a_closed_door_the_consul_token_is_an_api_key(mesh: Mesh):
    closed = await start_closed(mesh, 2)
    operator, viewer = closed.token("ops", "operator"), closed.token("eyes", "viewer")
    await wait_until(lambda: closed.statuses(operator) == closed.statuses(viewer) == [200, 200])

    def by(key: str | None) -> consul.Consul:
        host, _, port = closed.peers[0].host.rpartition(":")
        return consul.Consul(host=host, port=int(port), scheme="https", verify=str(closed.admin.authority), token=key)

    def talk() -> None:
        with contextlib.ExitStack() as stack:
            ops, eyes, nobody = (by(key) for key in (operator, viewer, None))
            for client in (ops, eyes, nobody):
                stack.callback(client.http.close)
            ops.agent.service.register("closed", check=consul.Check.ttl("60s"))
            with pytest.raises(ACLPermissionDenied):
                eyes.agent.service.register("more")
            assert [row["Service"]["Service"] for row in eyes.health.service("closed")[1]] == ["closed"]
            with pytest.raises(ACLDisabled):  # what py-consul calls 401
                nobody.agent.services()

    await asyncio.to_thread(talk)
