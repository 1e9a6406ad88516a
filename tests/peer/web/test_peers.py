from __future__ import annotations

import pytest

from tests.peer.web.conftest import Farm, WebPeer, problem_of


async def test_the_list(farm: Farm):
    one, two = await farm.add("one"), await farm.add("two")
    body = await (await one.client.get("/api/v1/peers")).json()
    assert {row["id"] for row in body["peers"]} == {one.mesh.me, two.mesh.me}
    row = next(row for row in body["peers"] if row["name"] == "two")
    assert row == {
        "id": two.mesh.me,
        "name": "two",
        "state": "alive",
        "address": "http://two.test:7700",
        "slots": {"total": 1, "free": 1},
        "labels": {},
        "capabilities": [],
        "checks": [],
        "version": "1.0",
        "rtt_ms": 1.5,
        "draining": False,
        "renderer_reasons": [],
        "output_roots": [],
        "me": False,
    }
    first = await (await one.client.get("/api/v1/peers?limit=1")).json()
    rest = await (await one.client.get("/api/v1/peers", params={"limit": 1, "cursor": first["cursor"]})).json()
    assert [first["peers"][0]["id"], rest["peers"][0]["id"]] == sorted([one.mesh.me, two.mesh.me])
    assert rest["cursor"] is None
    await problem_of(await one.client.get("/api/v1/peers?cursor=x"), 422, "bad_field")


async def test_one_by_id_prefix_and_name(farm: Farm):
    one, two = await farm.add("one"), await farm.add("two")
    for text in (two.mesh.me, two.mesh.me[:6], "two"):
        assert (await (await one.client.get(f"/api/v1/peers/{text}")).json())["id"] == two.mesh.me
    for text in ("three", two.mesh.me[:3]):
        await problem_of(await one.client.get(f"/api/v1/peers/{text}"), 404, "no_such_peer")


async def test_two_of_one_name_are_ambiguous(farm: Farm, monkeypatch: pytest.MonkeyPatch):
    one, two = await farm.add("one"), await farm.add("two")
    monkeypatch.setattr(type(two.mesh), "seen_by", _same_name(type(two.mesh).seen_by))
    document = await problem_of(await one.client.get("/api/v1/peers/same"), 409, "ambiguous_peer")
    assert two.mesh.me[:16] in document["detail"]


def _same_name(seen_by):
    from dataclasses import replace

    return lambda self, other: replace(seen_by(self, other), name="same")


async def test_draining_happens_on_the_peer_that_is_meant(farm: Farm):
    one, two = await farm.add("one"), await farm.add("two")
    body = await (await one.client.post("/api/v1/peers/two/drain")).json()
    assert (one.mesh.draining, two.mesh.draining, body["draining"]) == (False, True, True)
    assert (await one.client.post("/api/v1/peers/one/drain", json={})).status == 200
    assert one.mesh.draining
    assert (await one.client.post("/api/v1/peers/two/undrain")).status == 200
    assert not two.mesh.draining
    await problem_of(await one.client.post("/api/v1/peers/one/drain", json={"now": 1}), 422, "unknown_field")
    farm.down.add(two.mesh.me)
    await problem_of(await one.client.post("/api/v1/peers/two/drain"), 503, "peers_unreachable")


async def test_who_sees_whom(farm: Farm):
    one, two, three = [await farm.add(name) for name in ("one", "two", "three")]
    farm.down.add(three.mesh.me)
    body = await (await one.client.get("/api/v1/mesh")).json()
    views = {view["peer"]: view for view in body["views"]}
    assert body["me"] == one.mesh.me
    assert {row["name"] for row in views[one.mesh.me]["sees"]} == {"two", "three"}
    assert {row["name"]: row["rtt_ms"] for row in views[two.mesh.me]["sees"]} == {"one": 1.5, "three": 1.5}
    assert "does not answer" in views[three.mesh.me]["error"]


async def test_settings_are_shown_with_their_origin(peer: WebPeer):
    body = await (await peer.client.get("/api/v1/config")).json()
    assert body == {
        "settings": [
            {"name": "slots", "value": "1", "origin": "default"},
            {"name": "mesh_key", "value": "********", "origin": "environment"},
        ]
    }


async def test_a_ping_is_made_by_the_peer_that_is_asked(farm: Farm):
    one, two = await farm.add("one"), await farm.add("two")
    response = await one.client.post("/api/v1/peers/two/ping?count=2")
    assert await response.json() == {
        "asker": one.mesh.me,
        "peer": two.mesh.me,
        "name": "two",
        "datagram": {"sent": 2, "received": 2, "rtt_ms": [1.0, 1.0]},
        "stream": {"sent": 2, "received": 2, "rtt_ms": [2.0, 2.0]},
        "indirect": {"sent": 0, "received": 0, "rtt_ms": []},
        "helpers": [],
    }
    assert two.passed_on == []


@pytest.mark.parametrize("count", ["0", "11", "-1", "x", "1.5", "", "9999999999", "²"])
async def test_a_count_of_pings_that_makes_no_sense(farm: Farm, count: str):
    one = await farm.add("one")
    await farm.add("two")
    await problem_of(await one.client.post("/api/v1/peers/two/ping", params={"count": count}), 422, "bad_field")


async def test_whom_one_cannot_ping(farm: Farm):
    one = await farm.add("one")
    await problem_of(await one.client.post("/api/v1/peers/nobody/ping"), 404, "no_such_peer")
    await problem_of(await one.client.post("/api/v1/peers/one/ping"), 409, "own_peer")


async def test_a_peer_is_let_in_again_by_any_other(farm: Farm):
    one, two = await farm.add("one"), await farm.add("two")
    answer = await one.client.post("/api/v1/peers/two/readmit")
    assert (answer.status, (await answer.json())["id"]) == (200, two.mesh.me)
    assert one.mesh.readmitted == [two.mesh.me]
    await problem_of(await one.client.post("/api/v1/peers/one/readmit"), 409, "own_verdict")
    await problem_of(await one.client.post("/api/v1/peers/nobody/readmit"), 404, "no_such_peer")
