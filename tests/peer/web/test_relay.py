"""Which peer is asked, in which order, and what it is told."""

from __future__ import annotations

from tests.peer.web.conftest import Farm, WebPeer, problem_of


async def held_by(*peers: WebPeer) -> str:
    """A job that several peers hold."""
    job = (await peers[0].submit("1-2"))["id"]
    for other in peers[1:]:
        other.mesh.kept[job] = peers[0].mesh.kept[job]
    peers[0].mesh.finish(job, 1, b"picture")
    for other in peers[1:]:
        other.blobs.add(b"picture")
    return job


async def test_the_next_holder_is_asked_when_one_is_down(farm: Farm):
    one, two, three = [await farm.add(name) for name in ("one", "two", "three")]
    job = await held_by(one, two)
    farm.down.add(one.mesh.me)
    response = await three.client.get(f"/api/v1/jobs/{job}/frames/1")
    assert await response.read() == b"picture"
    assert (one.passed_on, len(two.passed_on)) == ([], 1)


async def test_nobody_left_is_503_and_names_who_was_asked(farm: Farm):
    one, two = await farm.add("one"), await farm.add("two")
    job = await held_by(one)
    farm.down.add(one.mesh.me)
    for response in (await two.client.get(f"/api/v1/jobs/{job}/frames/1"), await two.client.post(f"/api/v1/jobs/{job}/pause")):
        document = await problem_of(response, 503, "peers_unreachable")
        assert f"asked: {one.mesh.me[:12]}" in document["detail"]
        assert f"kept by {one.mesh.me[:12]}: start one of them again" in document["detail"]
        assert "Retry-After" in response.headers
    two.mesh.alive.clear()
    document = await problem_of(await two.client.get(f"/api/v1/jobs/{job}/frames/1"), 503, "peers_unreachable")
    assert "none is alive" in document["detail"]


async def test_a_holder_that_answers_503_is_passed_over(farm: Farm):
    one, two, three = [await farm.add(name) for name in ("one", "two", "three")]
    job = await held_by(one, two)
    one.blobs.blobs.clear()
    response = await three.client.get(f"/api/v1/jobs/{job}/frames/1")
    assert await response.read() == b"picture"
    two.blobs.blobs.clear()
    await problem_of(await three.client.get(f"/api/v1/jobs/{job}/frames/1"), 503, "blob_unreachable")


async def test_what_was_passed_on_is_never_passed_on_again(farm: Farm):
    one, two = await farm.add("one"), await farm.add("two")
    job = await held_by(one)
    url = two.mesh_port.make_url(f"/mesh/v1/api/api/v1/jobs/{job}/pause")
    async with farm.session.post(url, headers={"X-Rendermesh-Role": "admin"}) as response:
        await problem_of(response, 503, "not_owner")
    async with farm.session.get(
        two.mesh_port.make_url(f"/mesh/v1/api/job/{one.mesh.me[:8]}-{job[:12]}"), headers={"X-Rendermesh-Role": "viewer"}
    ) as response:
        assert response.status == 202  # answered from what it knows itself
    assert one.passed_on == []


async def test_the_role_that_was_found_goes_with_the_request_and_the_client_s_word_does_not(farm: Farm):
    one = await farm.add("one")
    two = await farm.add("two", roles=lambda request: "viewer", submitter=lambda request: "ann")
    job = await held_by(one)
    forged = {"X-Rendermesh-Role": "admin", "X-Rendermesh-Submitter": "root", "Cookie": "secret=1", "Authorization": "Bearer x"}
    assert (await two.client.get(f"/api/v1/jobs/{job}/frames/1", headers=forged)).status == 200
    headers = one.passed_on[0][1]
    assert (headers["X-Rendermesh-Role"], headers["X-Rendermesh-Submitter"]) == ("viewer", "ann")
    assert "Cookie" not in headers
    assert "Authorization" not in headers
    await problem_of(await two.client.post(f"/api/v1/jobs/{job}/pause", headers=forged), 403, "role_too_low")
    async with farm.session.post(
        one.mesh_port.make_url(f"/mesh/v1/api/api/v1/jobs/{job}/pause"), headers={"X-Rendermesh-Role": "viewer"}
    ) as response:
        await problem_of(response, 403, "role_too_low")
    async with farm.session.post(
        one.mesh_port.make_url(f"/mesh/v1/api/api/v1/jobs/{job}/pause"), headers={"X-Rendermesh-Role": "god"}
    ) as response:
        await problem_of(response, 401, "login_needed")


async def test_an_owner_that_is_gone_is_steered_where_the_job_is_held(farm: Farm):
    one, two = await farm.add("one"), await farm.add("two")
    job = await held_by(one, two)
    two.mesh.alive.clear()
    assert (await two.client.post(f"/api/v1/jobs/{job}/pause")).status == 200
    assert two.mesh.log[-1].event == "job_pause"
