"""The tutorial's shape: statuses, headers and words."""

from __future__ import annotations

import pytest

from protocol.errors import Unavailable
from protocol.jobs.manifest import Manifest, ManifestEntry
from tests.peer.web.conftest import SCENE, Farm, WebPeer, problem_of


@pytest.fixture
async def null(farm: Farm) -> WebPeer:
    return await farm.add("null", null_only=lambda: True)


async def test_render_then_status(null: WebPeer):
    response = await null.client.post("/render", json={"from": 1, "to": 3})
    body = await response.json()
    assert response.status == 202
    job = body["jobId"]
    assert body == {"jobId": job}
    assert response.headers["Location"] == f"/status/{job}"
    assert null.mesh.kept[job].spec.frames == "1-3"
    assert null.mesh.kept[job].spec.renderer == "null"
    running = await null.client.get(response.headers["Location"])
    assert (running.status, await running.text(), running.headers["Retry-After"]) == (202, "Job still running", "2")
    for frame in (1, 2, 3):
        null.mesh.finish(job, frame, b"x")
    ended = await null.client.get(f"/status/{job}")
    assert (ended.status, await ended.text(), ended.content_type) == (200, "Job completed", "text/plain")


async def test_status_of_what_failed_and_of_nothing(null: WebPeer):
    job = (await (await null.client.post("/render", json={"from": 1, "to": 1})).json())["jobId"]
    null.mesh.become(job, eta_s=7.4)
    assert (await null.client.get(f"/status/{job}")).headers["Retry-After"] == "8"
    null.mesh.become(job, state="failed", error="frame 1: out of memory")
    failed = await null.client.get(f"/status/{job}")
    assert (failed.status, await failed.text()) == (500, "frame 1: out of memory")
    null.mesh.become(job, state="cancelled")
    cancelled = await null.client.get(f"/status/{job}")
    assert (cancelled.status, await cancelled.text()) == (500, "Job cancelled")
    for url in ("/status/00000000", "/job/00000000-000000000000", "/job/12345"):
        missing = await null.client.get(url)
        assert (missing.status, await missing.text(), missing.content_type) == (404, "Job not found", "text/plain")


async def test_a_default_scene_and_further_fields(farm: Farm):
    async def scene() -> Manifest | None:
        return Manifest("a.blend", (ManifestEntry("a.blend", peer.blobs.add(SCENE), len(SCENE)),))

    peer = await farm.add("one", default_scene=scene)
    response = await peer.client.post("/render", json={"from": -2, "to": 3, "samples": 4, "name": "x"})
    job = peer.mesh.kept[(await response.json())["jobId"]]
    assert (job.spec.frames, job.spec.samples, job.manifest.main) == ("-2-3", 4, "a.blend")


@pytest.mark.parametrize("path", ["/render", "/job"])
@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        "{}",
        '{"from": 1}',
        '{"from": "1", "to": 2}',
        '{"from": 1.5, "to": 2}',
        '{"from": true, "to": 2}',
        '{"from": 3, "to": 2}',
        '{"from": 1, "to": 99999999}',
        '{"from": 1, "to": 2, "colour": 3}',
        '{"from": 1, "to": 2, "frames": "1"}',
        '{"from": 1, "to": 2, "samples": 0}',
        '{"from": -1048574, "to": 1048574}',
        '{"from": 1, "to": 2, "output": "x"}',
    ],
)
async def test_bad_input_is_400(null: WebPeer, path: str, body: str):
    response = await null.client.post(path, data=body)
    assert response.status == 400, await response.text()
    document = await response.json()
    assert document["error"] == document["detail"]
    assert null.mesh.kept == {}


@pytest.mark.parametrize("path", ["/render", "/job"])
async def test_no_default_scene_is_400(peer: WebPeer, path: str):
    response = await peer.client.post(path, json={"from": 1, "to": 2})
    document = await problem_of(response, 400, "no_default_scene")
    assert "--scene" in document["detail"]


async def test_a_job_here_and_its_pid(null: WebPeer):
    response = await null.client.post("/job", json={"from": 1, "to": 2})
    pid = (await response.json())["pid"]
    job = next(iter(null.mesh.kept))
    assert (response.status, pid) == (202, f"{null.mesh.me[:8]}-{job[:12]}")
    assert response.headers["Location"] == f"/job/{pid}"
    assert int(response.headers["Retry-After"]) > 0
    running = await null.client.get(f"/job/{pid}")
    assert (running.status, await running.text()) == (202, "Job still running")
    for frame in (1, 2):
        null.mesh.finish(job, frame, b"x")
    assert (await null.client.get(f"/job/{pid}")).status == 200


async def test_busy_is_503_with_seconds_and_free_peers(null: WebPeer):
    null.mesh.busy_for = (12.3, ["http://two.test:7700"])
    response = await null.client.post("/job", json={"from": 1, "to": 2})
    document = await problem_of(response, 503, "busy")
    assert response.headers["Retry-After"] == "13"
    assert (document["retryAfterSeconds"], document["freePeers"]) == (13, ["http://two.test:7700"])
    assert document["error"] == "Server busy, try again later"
    assert null.mesh.kept == {}


async def test_taken_or_draining_meanwhile_is_the_same_answer(farm: Farm):
    one, _ = await farm.add("one", null_only=lambda: True), await farm.add("two")
    one.mesh.refusal = Unavailable("draining", "this peer takes no new work", retry_after_s=30.0)
    response = await one.client.post("/job", json={"from": 1, "to": 2})
    document = await problem_of(response, 503, "draining")
    assert (document["retryAfterSeconds"], document["freePeers"]) == (30, ["http://two.test:7700"])


async def test_a_pid_from_any_peer(farm: Farm):
    one, two = await farm.add("one", null_only=lambda: True), await farm.add("two")
    pid = (await (await one.client.post("/job", json={"from": 1, "to": 1})).json())["pid"]
    response = await two.client.get(f"/job/{pid}")
    assert (response.status, await response.text()) == (202, "Job still running")
    assert one.passed_on[0][0] == f"/mesh/v1/api/job/{pid}"
    one.mesh.finish(next(iter(one.mesh.kept)), 1, b"x")
    farm.down.add(one.mesh.me)
    response = await two.client.get(f"/job/{pid}")
    assert (response.status, await response.text()) == (200, "Job completed")  # two knows the job, though its peer is silent


async def test_status_from_any_peer(farm: Farm):
    one, two = await farm.add("one"), await farm.add("two")
    job = (await one.submit("1"))["id"]
    assert (await two.client.get(f"/status/{job}")).status == 202
