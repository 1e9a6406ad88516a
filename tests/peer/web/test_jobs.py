from __future__ import annotations

import jsonschema
import pytest

from protocol.ids import JobId
from protocol.views import Reason
from tests.peer.web.conftest import Farm, WebPeer, problem_of


async def test_the_list_is_paged_newest_first(peer: WebPeer):
    made = [(await peer.submit(name=f"job {number}"))["id"] for number in range(5)]
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = await (await peer.client.get("/api/v1/jobs", params={"limit": "2", "cursor": cursor})).json()
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["cursor"]
    assert seen == made[::-1]


async def test_filters(peer: WebPeer):
    one = (await peer.submit(name="a", label="show=x"))["id"]
    two = (await peer.submit(name="b", label="show=y"))["id"]
    peer.mesh.become(two, state="paused")

    async def ids(**params: str) -> list[str]:
        return [job["id"] for job in (await (await peer.client.get("/api/v1/jobs", params=params)).json())["jobs"]]

    assert await ids(state="paused") == [two]
    assert await ids(state="paused,queued") == [two, one]
    assert await ids(label="show=x") == [one]
    assert await ids(name="b") == [two]
    assert await ids(name="c") == []


@pytest.mark.parametrize("query", ["state=done", "cursor=../x", "limit=-1", "sort=name"])
async def test_bad_queries_name_the_parameter(peer: WebPeer, query: str):
    response = await peer.client.get(f"/api/v1/jobs?{query}")
    document = await problem_of(response, 422, "unknown_field" if query == "sort=name" else "bad_field")
    assert document["errors"][0]["field"] == query.partition("=")[0]


async def test_a_job_by_id_prefix_and_name(peer: WebPeer):
    job = (await peer.submit(name="shot 1/a"))["id"]
    for text in (job, job[:8], "shot%201%2Fa"):
        assert (await (await peer.client.get(f"/api/v1/jobs/{text}")).json())["id"] == job
    await problem_of(await peer.client.get("/api/v1/jobs/nothing"), 404, "no_such_job")


async def test_an_ambiguous_prefix_is_409(peer: WebPeer):
    job = peer.mesh.kept[(await peer.submit())["id"]]
    from dataclasses import replace

    twin = replace(job, view=replace(job.view, id=JobId(job.view.id[:20] + "0" * 12)))
    peer.mesh.kept[twin.view.id] = twin
    await problem_of(await peer.client.get(f"/api/v1/jobs/{job.view.id[:8]}"), 409, "ambiguous_job")


async def test_a_job_as_json(peer: WebPeer):
    job = (await peer.submit("1-3", name="n", label="a=b", priority="70"))["id"]
    peer.mesh.become(
        job, waiting_because=(Reason("no_slot", "all peers are busy", "wait"),), started_ms=1_700_000_001_234, eta_s=12.5
    )
    body = await (await peer.client.get(f"/api/v1/jobs/{job}")).json()
    assert body == {
        "id": job,
        "name": "n",
        "state": "queued",
        "priority": 70,
        "owner": peer.mesh.me,
        "epoch": 1,
        "replicas": [peer.mesh.me],
        "frames": {"total": 3, "pending": 3, "running": 0, "done": 0, "failed": 0, "held": 0},
        "progress": 0.0,
        "eta_s": 12.5,
        "waiting_because": [{"code": "no_slot", "text": "all peers are busy", "remedy": "wait", "peer": ""}],
        "held_because": [],
        "error": None,
        "renderer": "null",
        "engine": "",
        "blender": "",
        "frame_ranges": "1-3",
        "labels": ["a=b"],
        "submitter": "local",
        "submitted_at": "2023-11-14T22:13:21.000Z",
        "started_at": "2023-11-14T22:13:21.234Z",
        "finished_at": None,
        "durability": {"copies": 2},
        "only_on": None,
        "destination": None,
        "delivered": {"frames": 0, "conflicts": 0},
        "generation": 0,
        "same_key": [],
    }
    described = await (await peer.client.get("/openapi.json")).json()
    jsonschema.validate(body, {"$ref": "#/components/schemas/Job", "components": described["components"]})
    why = await (await peer.client.get(f"/api/v1/jobs/{job}/why")).json()
    assert why == {"job": job, "state": "queued", "reasons": body["waiting_because"]}


async def test_steering(peer: WebPeer):
    job = (await peer.submit())["id"]

    async def post(verb: str, **kwargs) -> str:
        response = await peer.client.post(f"/api/v1/jobs/{job}/{verb}", **kwargs)
        assert response.status == 200, await response.text()
        return (await response.json())["state"]

    assert await post("pause") == "paused"
    assert await post("pause", json={}) == "paused"
    assert await post("resume", json={"accept": ["missing_image"]}) == "queued"
    assert await post("retry", json={"frames": "1-2", "include_done": True, "replaces": 4}) == "queued"
    response = await peer.client.patch(
        f"/api/v1/jobs/{job}", json={"priority": 90, "on_warning": "accept", "accept": "newer_blender"}
    )
    assert (await response.json())["priority"] == 90
    await problem_of(await peer.client.delete(f"/api/v1/jobs/{job}"), 409, "job_not_ended")
    assert await post("cancel") == "cancelled"
    assert (await peer.client.delete(f"/api/v1/jobs/{job}")).status == 200
    await problem_of(await peer.client.get(f"/api/v1/jobs/{job}"), 404, "no_such_job")
    said = [
        (row.event, row.fields["value"]) for row in peer.mesh.log if row.event in ("job_accept", "job_on_warning", "job_priority")
    ]
    assert said == [
        ("job_accept", "missing_image"),
        ("job_priority", "90"),
        ("job_on_warning", "accept"),
        ("job_accept", "newer_blender"),
    ]
    retried = next(row.fields for row in peer.mesh.log if row.event == "job_retry")
    assert (retried["frames"], retried["replaces"]) == ("1-2", 4)


@pytest.mark.parametrize(
    ("method", "verb", "body", "code", "field"),
    [
        ("POST", "pause", {"now": True}, "unknown_field", "now"),
        ("POST", "retry", {"frames": "9-1"}, "bad_frames", None),
        ("POST", "retry", {"frames": 3}, "bad_field", "frames"),
        ("POST", "retry", {"include_done": "yes"}, "bad_field", "include_done"),
        ("POST", "retry", {"replaces": -1}, "bad_field", "replaces"),
        ("POST", "resume", {"accept": "../x"}, "bad_field", "accept"),
        ("PATCH", "", {"priority": 101}, "bad_field", "priority"),
        ("PATCH", "", {"priority": "high"}, "bad_field", "priority"),
        ("PATCH", "", {"frames": "1-2"}, "unknown_field", "frames"),
    ],
)
async def test_bad_bodies_name_the_field(peer: WebPeer, method, verb, body, code, field):
    job = (await peer.submit())["id"]
    url = f"/api/v1/jobs/{job}/{verb}".rstrip("/")
    document = await problem_of(await peer.client.request(method, url, json=body), 422, code)
    if field is not None:
        assert document["errors"][0]["field"].partition(".")[0] == field
    assert [row.event for row in peer.mesh.log] == ["job_accepted"]


async def test_steering_goes_to_the_owner(farm: Farm):
    one, two = await farm.add("one"), await farm.add("two")
    job = (await one.submit(name="shot"))["id"]
    response = await two.client.post("/api/v1/jobs/shot/retry", json={"frames": "1"})
    assert response.status == 200, await response.text()
    assert one.passed_on[0][0] == f"/mesh/v1/api/api/v1/jobs/{job}/retry"
    assert one.mesh.log[-1].event == "job_retry"
    assert (await two.client.patch(f"/api/v1/jobs/{job}", json={"priority": 3})).status == 200
    await problem_of(await two.client.post(f"/api/v1/jobs/{job}/pause", json={"x": 1}), 422, "unknown_field")
    assert (await two.client.post(f"/api/v1/jobs/{job}/cancel")).status == 200
    assert (await two.client.delete(f"/api/v1/jobs/{job}")).status == 200
    assert one.mesh.kept == {}
