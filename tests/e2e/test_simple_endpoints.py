"""The simple endpoints on real peers: the conversation that the tutorial series' clients have."""

from __future__ import annotations

from tests.waiting import wait_until


async def test_render_is_queued_in_the_mesh_and_its_status_goes_from_202_to_200_on_any_peer(mesh):
    first, second = await mesh.start_many("first", "second")
    answer = first.ask("POST", "/render", json_body={"from": 1, "to": 8, "settings": {"frame_ms": 150}})
    assert answer.status == 202, answer.text
    job = answer.json["jobId"]
    assert answer.headers["Location"] == f"/status/{job}"
    running = second.ask("GET", f"/status/{job}")
    assert (running.status, running.text) == (202, "Job still running")
    assert int(running.headers["Retry-After"]) >= 1
    await wait_until(lambda: second.ask("GET", f"/status/{job}").status == 200)
    assert second.ask("GET", f"/status/{job}").text == "Job completed"
    unknown = second.ask("GET", "/status/feedfeedfeed")
    assert (unknown.status, unknown.text) == (404, "Job not found")


async def test_a_failed_job_answers_500_with_the_reason(mesh):
    [peer] = await mesh.start_many("alone")
    job = peer.ask("POST", "/render", json_body={"from": 1, "to": 1, "settings": {"fail_frames": [1]}}).json["jobId"]
    await wait_until(lambda: peer.ask("GET", f"/status/{job}").status == 500)
    assert "frame 1" in peer.ask("GET", f"/status/{job}").text


async def test_job_renders_on_this_very_peer_and_a_busy_peer_names_free_ones(mesh):
    first, second = await mesh.start_many("first", "second")
    answer = first.ask("POST", "/job", json_body={"from": 1, "to": 6, "settings": {"frame_ms": 300}})
    assert answer.status == 202, answer.text
    assert answer.headers["Retry-After"]
    place = answer.headers["Location"]
    assert place == f"/job/{answer.json['pid']}"
    await wait_until(lambda: first.ask("POST", "/job", json_body={"from": 1, "to": 1}).status == 503)
    busy = first.ask("POST", "/job", json_body={"from": 1, "to": 1})
    assert busy.status == 503
    assert int(busy.headers["Retry-After"]) >= 1
    assert busy.json["freePeers"] == [second.url]
    await wait_until(lambda: second.ask("GET", place).status == 200)
    [job] = [row for row in first.get("/jobs")["jobs"] if row["frames"]["total"] == 6]
    assert {row["peer"] for row in first.frames(job["id"])} == {first.id}


async def test_bad_input_is_400_with_a_plain_sentence(mesh):
    [peer] = await mesh.start_many("alone")
    for body in ({"from": 5, "to": 1}, {"from": 1}, {"from": "a", "to": 2}, {"from": 1, "to": 2, "sampels": 1}):
        for path in ("/render", "/job"):
            answer = peer.ask("POST", path, json_body=body)
            assert answer.status == 400, (path, body, answer.text)
            assert answer.json["error"]


async def test_health_is_one_word_for_load_balancers(mesh):
    [peer] = await mesh.start_many("alone")
    await wait_until(lambda: peer.ask("GET", "/health").status == 200)
    assert peer.ask("GET", "/health").json["status"] == "passing"
    assert [peer.ask("GET", f"/healthz/{probe}").status for probe in ("startup", "live", "ready")] == [200, 200, 200]
