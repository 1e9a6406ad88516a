"""Every route has a permission, and nobody gets past it."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from peer.web.guard import allows
from peer.web.routes import TABLE
from peer.web.site import Permission, Role
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


async def test_without_a_role_only_public_routes_answer(farm: Farm):
    peer = await farm.add("closed", roles=lambda _: None)
    public = {route.path for route in TABLE if route.permission == "public"}
    assert public == {"/health", "/healthz/startup", "/healthz/live", "/healthz/ready", "/openapi.json", "/docs", "/"}
    for method, path in walked(peer):
        response = await peer.client.request(method, re.sub(r"\{\w+\}", "1", path))
        if path in public:
            assert response.status == 200
        else:
            assert response.status == 401, (method, path)
            assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_a_viewer_writes_nothing(farm: Farm):
    peer = await farm.add("viewer", roles=lambda _: "viewer")
    for route in TABLE:
        if route.method != "GET":
            response = await peer.client.request(route.method, re.sub(r"\{[^}]+\}", "1", route.path))
            await problem_of(response, 403, "role_too_low")


def test_roles_are_in_order():
    roles: list[Role | None] = [None, *get_args(Role)]
    table = [[allows(permission, role) for role in roles] for permission in get_args(Permission)]
    assert table == [[index <= column for column in range(5)] for index in range(5)]


async def test_a_foreign_page_may_not_write(peer: WebPeer):
    body = {"renderer": "null", "frames": "1"}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "https://evil.example/127.0.0.1"):
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
