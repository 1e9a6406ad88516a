from __future__ import annotations

import pytest

from peer.telemetry.metrics import Metrics
from peer.web.logins import Logins
from protocol.access.keys import parse_key
from tests.peer.web.conftest import Farm, WebPeer, problem_of

TOKENS = "/api/v1/tokens"


async def test_a_key_is_shown_once_and_listed_without_its_secret(peer: WebPeer):
    response = await peer.client.post(TOKENS, json={"name": "alice", "role": "submitter"})
    made = await response.json()
    assert response.status == 201
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Location"] == f"{TOKENS}/{made['id']}"
    assert parse_key(made["token"]) is not None
    listed = await (await peer.client.get(TOKENS)).text()
    assert made["id"] in listed
    assert made["token"] not in listed
    assert made["token"].rpartition("_")[2] not in listed


async def test_the_list_is_paged(peer: WebPeer):
    for number in range(3):
        await peer.client.post(TOKENS, json={"name": f"key {number}", "role": "viewer"})
    first = await (await peer.client.get(f"{TOKENS}?limit=2")).json()
    rest = await (await peer.client.get(TOKENS, params={"limit": 2, "cursor": first["cursor"]})).json()
    assert len(first["tokens"]) == 2
    assert len(rest["tokens"]) == 1
    assert rest["cursor"] is None
    await problem_of(await peer.client.get(f"{TOKENS}?cursor=x"), 422, "bad_field")


async def test_revoking(peer: WebPeer):
    made = await (await peer.client.post(TOKENS, json={"name": "alice", "role": "viewer"})).json()
    for _ in range(2):
        response = await peer.client.delete(f"{TOKENS}/{made['id']}")
        assert (response.status, (await response.json())["revoked"]) == (200, True)
    await problem_of(await peer.client.delete(f"{TOKENS}/nobody"), 404, "no_such_key")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "alice"}, "bad_field"),
        ({"role": "viewer"}, "bad_field"),
        ({"name": "alice", "role": "root"}, "bad_field"),
        ({"name": "", "role": "viewer"}, "bad_field"),
        ({"name": "x" * 65, "role": "viewer"}, "bad_field"),
        ({"name": "a\nb", "role": "viewer"}, "bad_key_name"),
        ({"name": "alice", "role": "viewer", "secret": "mine"}, "unknown_field"),
        ({"name": 7, "role": "viewer"}, "bad_field"),
    ],
)
async def test_a_wrong_field_is_named(peer: WebPeer, body: dict[str, object], code: str):
    await problem_of(await peer.client.post(TOKENS, json=body), 422, code)
    assert peer.mesh.kept_keys == {}


async def test_who_the_caller_is(farm: Farm):
    logins = Logins([], anonymous="viewer", metrics=Metrics())
    peer = await farm.add("one", roles=logins.role, submitter=logins.submitter)
    body = await (await peer.client.get("/api/v1/whoami")).json()
    assert body == {"name": "anonymous", "role": "viewer", "key": None, "peer": peer.mesh.me}


async def test_the_authority_is_public(farm: Farm):
    peer = await farm.add("one", authority=lambda: "-----BEGIN CERTIFICATE-----\n", roles=lambda _: None)
    response = await peer.client.get("/ca.pem")
    assert await response.text() == "-----BEGIN CERTIFICATE-----\n"
    assert response.content_type == "application/x-pem-file"
    plain = await farm.add("two")
    await problem_of(await plain.client.get("/ca.pem"), 404, "no_authority")
