from __future__ import annotations

import pytest

from peer.web import keys
from tests.fakes.mesh import peer_id
from tests.peer.web.conftest import Farm, WebPeer, problem_of

KEYS = "/api/v1/keys"
TEXT = f"rendermesh-key-1:{'a' * 32}:{'b' * 64}"


async def test_the_ring_is_shown_by_fingerprints(peer: WebPeer):
    peer.mesh.behind = (peer_id("away"),)
    body = await (await peer.client.get(KEYS)).json()
    assert body["keys"] == [{"id": "f" * 16, "primary": True, "holders": 1, "missing": [peer_id("away")]}]
    assert (body["removed"], body["unconfirmed"]) == ([], [peer_id("away")])


async def test_a_key_is_installed_used_and_the_old_one_removed(peer: WebPeer):
    answer = await peer.client.post(KEYS, json={"key": TEXT})
    text = await answer.text()
    assert answer.status == 200
    assert "b" * 64 not in text
    name = (await answer.json())["keys"][1]["id"]
    assert (await peer.client.post(f"{KEYS}/{name}/use")).status == 200
    assert (await peer.client.delete(f"{KEYS}/{'f' * 16}", json={"force": True})).status == 200
    orders = [(action, force) for action, _, _, force in peer.mesh.key_orders]
    assert orders == [("install", False), ("use", False), ("remove", True)]


async def test_whom_a_key_is_not_for_is_named_like_any_peer(farm: Farm):
    one = await farm.add("one")
    await farm.add("other")
    await one.client.post(KEYS, json={"key": TEXT, "expel": ["other"]})
    assert one.mesh.key_orders[-1][2] == (peer_id("other"),)
    await problem_of(await one.client.post(KEYS, json={"key": TEXT, "expel": ["nobody"]}), 404, "no_such_peer")


async def test_what_would_cut_somebody_off_is_a_conflict_unless_forced(peer: WebPeer):
    peer.mesh.behind = (peer_id("away"),)
    await problem_of(await peer.client.post(f"{KEYS}/{'f' * 16}/use"), 409, "key_not_held")
    assert (await peer.client.post(f"{KEYS}/{'f' * 16}/use", json={"force": True})).status == 200


async def test_an_unknown_fingerprint_is_not_found(peer: WebPeer):
    await problem_of(await peer.client.post(f"{KEYS}/{'0' * 16}/use"), 404, "no_such_key")
    await problem_of(await peer.client.delete(f"{KEYS}/{'0' * 16}"), 404, "no_such_key")


@pytest.mark.parametrize("body", [{}, {"key": ""}, {"key": "x" * 600}, {"key": 7}, {"key": TEXT, "extra": 1}])
async def test_a_wrong_body_is_refused_and_never_repeated(peer: WebPeer, body: dict[str, object]):
    answer = await peer.client.post(KEYS, json=body)
    assert answer.status == 422
    assert "x" * 600 not in await answer.text()
    assert peer.mesh.key_orders == []


async def test_a_key_in_clear_from_another_machine_is_refused(peer: WebPeer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keys, "_is_private", lambda request: False)
    await problem_of(await peer.client.post(KEYS, json={"key": TEXT}), 422, "key_in_clear")
    assert peer.mesh.key_orders == []
