"""Every route has a permission, and nobody gets past it."""

from __future__ import annotations

import asyncio
import re
from typing import get_args

import pytest

from peer.web.route import Route
from peer.web.routes import TABLE
from protocol.access.roles import ROLES, Permission, Role, allows
from tests.peer.web.conftest import Farm, WebPeer, problem_of


def walked(peer: WebPeer) -> list[tuple[str, str]]:
    """(method, path) of everything that the router serves."""
    return [(route.method, route.resource.canonical) for route in peer.app.router.routes() if route.resource is not None]


async def test_every_route_of_the_router_is_in_the_table_with_a_permission(peer: WebPeer):
    table: dict[tuple[str, str], str] = {(route.method, re.sub(r":[^}]*", "", route.path)): route.permission for route in TABLE}
    found = walked(peer)
    assert len(found) > 40
    for method, path in found:
        assert table["GET" if method == "HEAD" else method, path] in get_args(Permission)


PUBLIC = {"/health", "/healthz/startup", "/healthz/live", "/healthz/ready", "/openapi.json", "/docs", "/", "/ca.pem"}


async def test_without_a_role_only_public_routes_answer(farm: Farm):
    peer = await farm.add("closed", roles=lambda _: None, authority=lambda: "PEM")
    assert {route.path for route in TABLE if route.permission == "public"} == PUBLIC
    for method, path in walked(peer):
        response = await peer.client.request(method, re.sub(r"\{\w+\}", "1", path))
        if path in PUBLIC:
            assert response.status == 200
        else:
            assert response.status == 401, (method, path)
            assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("role", ROLES)
async def test_each_route_lets_in_its_role_and_the_higher_ones_alone(farm: Farm, role: Role):
    """Walks the router. What is let in may then fail for want of a job or a body, but never for want of a role."""
    peer = await farm.add(role, roles=lambda _: role)
    table: dict[tuple[str, str], Route] = {(route.method, re.sub(r":[^}]*", "", route.path)): route for route in TABLE}
    refused = set()
    for method, path in walked(peer):
        query = "?follow=false" if path == "/api/v1/events" else ""
        response = await peer.client.request(method, re.sub(r"\{\w+\}", "1", path) + query)
        permission = table["GET" if method == "HEAD" else method, path].permission
        if method != "HEAD" and response.status == 403 and path.startswith("/v1/"):
            assert response.content_type == "text/plain"  # as Consul's clients read it
            assert "role" in await response.text()
        elif method != "HEAD" and response.status == 403:
            await problem_of(response, 403, "role_too_low")
        assert (response.status == 403) is not allows(permission, role), (method, path, permission)
        assert response.status != 401
        if response.status == 403:
            refused.add((method, path))
    assert (not refused) is (role == "admin")


async def test_a_foreign_page_may_not_write(peer: WebPeer):
    body = {"renderer": "null", "frames": "1"}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "https://evil.example/127.0.0.1", "http://["):
        await problem_of(await peer.client.post("/api/v1/jobs", json=body, headers={"Origin": origin}), 403, "cross_origin")
    own = str(peer.client.make_url("")).rstrip("/")
    assert (await peer.client.post("/api/v1/jobs", json=body, headers={"Origin": own})).status == 202
    assert (await peer.client.get("/api/v1/jobs", headers={"Origin": "https://evil.example"})).status == 200
    assert len(peer.mesh.kept) == 1


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("evil.example:7700", 403),
        ("[::1", 403),  # cannot even be read
        ("a]", 403),
        ("localhost:7700", 200),
        ("127.0.0.1", 200),
        ("[::1]:7700", 200),
        ("farm.lan", 200),
    ],
)
async def test_a_loopback_port_answers_to_its_own_names_only(farm: Farm, host: str, status: int):
    peer = await farm.add("one", host_names=("farm.lan",))
    response = await peer.client.get("/api/v1/jobs", headers={"Host": host})
    assert response.status == status
    if status == 403:
        await problem_of(response, 403, "foreign_host")


@pytest.mark.parametrize("name", ["x" * 256, "a\udcff", "a\tb"])
async def test_a_name_that_no_job_may_keep_is_not_taken_from_another_peer(peer: WebPeer, name: str):
    answer = await asked_as(peer, name)
    assert b" 400 " in answer.splitlines()[0]
    assert b"bad_submitter" in answer
    assert peer.mesh.kept == {}
    assert b" 202 " in (await asked_as(peer, "alice/0011223344556677")).splitlines()[0]


async def asked_as(peer: WebPeer, name: str) -> bytes:
    """The answer to a job that another peer passes on in somebody's name; aiohttp's own client would refuse such names."""
    body = b'{"renderer": "null", "frames": "1"}'
    head = "POST /mesh/v1/api/api/v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    head += f"X-Rendermesh-Role: submitter\r\nX-Rendermesh-Submitter: {name}\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(peer.mesh_port.host, peer.mesh_port.port)
    writer.write(head.encode("utf-8", "surrogateescape") + body)
    answer = await reader.read()
    writer.close()
    return answer
