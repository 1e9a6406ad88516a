"""A new job from an old one, at whichever peer holds it."""

from __future__ import annotations

from protocol.errors import Unavailable
from tests.peer.web.conftest import SCENE, Farm, SceneSender, WebPeer, problem_of


async def test_a_new_job_has_the_old_ones_specification_and_scene(peer: WebPeer, send_scene: SceneSender):
    old = (await (await send_scene(("frames", "1-4"), ("samples", "8"), assets={"tex/a.png": b"wood"})).json())["id"]
    response = await peer.client.post(f"/api/v1/jobs/{old}/resubmit")
    assert response.status == 202, await response.text()
    new = (await response.json())["id"]
    assert response.headers["Location"] == f"/api/v1/jobs/{new}"
    assert new != old
    assert peer.mesh.kept[new].spec == peer.mesh.kept[old].spec
    assert peer.mesh.kept[new].manifest == peer.mesh.kept[old].manifest


async def test_the_same_key_gives_the_same_job_and_no_key_another(peer: WebPeer):
    old = (await peer.submit())["id"]
    answers = [
        await peer.client.post(f"/api/v1/jobs/{old}/resubmit", headers={"Idempotency-Key": key} if key else {})
        for key in ("again", "again", "", "")
    ]
    ids = [(await answer.json())["id"] for answer in answers]
    assert ids[0] == ids[1]
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert len({old, *ids}) == 4


async def test_a_peer_that_does_not_hold_it_asks_the_holders_under_one_key(farm: Farm):
    one, two, three = [await farm.add(name) for name in ("one", "two", "three")]
    old = (await one.submit())["id"]
    two.mesh.kept[old] = one.mesh.kept[old]
    farm.down.add(one.mesh.me)
    response = await three.client.post(f"/api/v1/jobs/{old}/resubmit")
    assert response.status == 202, await response.text()
    assert (await response.json())["id"] in two.mesh.kept
    farm.down.add(two.mesh.me)
    await problem_of(await three.client.post(f"/api/v1/jobs/{old}/resubmit"), 503, "peers_unreachable")


async def test_every_holder_that_is_asked_gets_the_same_key(farm: Farm):
    one, two, three = [await farm.add(name) for name in ("one", "two", "three")]
    old = (await one.submit())["id"]
    two.mesh.kept[old] = one.mesh.kept[old]
    one.mesh.refusal = two.mesh.refusal = Unavailable("not_durable", "not enough peers", retry_after_s=1)
    await problem_of(await three.client.post(f"/api/v1/jobs/{old}/resubmit"), 503, "not_durable")
    keys = [headers["Idempotency-Key"] for peer in (one, two) for _, headers in peer.passed_on]
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_a_file_that_left_this_peer_is_fetched_from_who_has_it(peer: WebPeer, send_scene: SceneSender):
    old = (await (await send_scene(("frames", "1-4"))).json())["id"]
    [digest] = [entry.digest for entry in peer.mesh.kept[old].manifest.files]
    peer.blobs.blobs.clear()
    await problem_of(await peer.client.post(f"/api/v1/jobs/{old}/resubmit"), 503, "blob_unreachable")
    peer.mesh.elsewhere[digest] = SCENE
    assert (await peer.client.post(f"/api/v1/jobs/{old}/resubmit")).status == 202


async def test_what_cannot_be_submitted_again_says_why(peer: WebPeer):
    await problem_of(await peer.client.post("/api/v1/jobs/nothing/resubmit"), 404, "no_such_job")
    old = (await peer.submit())["id"]
    await problem_of(await peer.client.post(f"/api/v1/jobs/{old}/resubmit", json={"frames": "1"}), 422, "unknown_field")
    bad = {"Idempotency-Key": "x" * 1_000}
    await problem_of(await peer.client.post(f"/api/v1/jobs/{old}/resubmit", headers=bad), 422, "bad_field")
