from __future__ import annotations

import asyncio
import json

from peer.web.site import SITE
from protocol import limits
from tests.peer.web.conftest import Farm, WebPeer, problem_of
from tests.waiting import wait_until


async def lines(response, until: str) -> list[str]:
    """Lines of a stream up to one that begins so."""
    seen: list[str] = []
    async with asyncio.timeout(10):
        while not (seen and seen[-1].startswith(until)):
            line = await response.content.readline()
            assert line, seen
            seen.append(line.decode().rstrip("\n"))
    return seen


def parsed(text: str) -> list[tuple[str, str, dict]]:
    found = []
    for block in text.split("\n\n"):
        rows = dict(row.split(": ", 1) for row in block.splitlines() if not row.startswith(":"))
        if rows:
            found.append((rows["id"], rows["event"], json.loads(rows["data"])))
    return found


async def test_kept_events_then_the_end(peer: WebPeer):
    job = (await peer.submit())["id"]
    peer.mesh.note("peer_joined", address="http://x", text="two\nlines")
    response = await peer.client.get("/api/v1/events?follow=false")
    assert response.content_type == "text/event-stream"
    events = parsed(await response.text())
    assert [event for _, event, _ in events] == ["job_accepted", "peer_joined"]
    assert events[0][2] == {
        "id": 1,
        "time": "2023-11-14T22:13:20.000Z",
        "event": "job_accepted",
        "level": "info",
        "peer": peer.mesh.me,
        "observer": peer.mesh.me,
        "job": job,
    }
    assert events[1][2]["text"] == "two\nlines"


async def test_resuming(peer: WebPeer):
    for number in range(4):
        peer.mesh.note(f"event_{number}")
    first = parsed(await (await peer.client.get("/api/v1/events?follow=false")).text())

    async def after(text: str) -> list[str]:
        response = await peer.client.get("/api/v1/events?follow=false", headers={"Last-Event-ID": text})
        return [event for _, event, _ in parsed(await response.text())]

    assert await after(first[1][0]) == ["event_2", "event_3"]
    assert await after("2") == ["event_2", "event_3"]
    assert await after("00000000.2") == ["event_0", "event_1", "event_2", "event_3"]  # of another run
    assert await after(first[-1][0]) == []
    for bad in ("x", "-1", "1.2.3", "9" * 40):
        await problem_of(await peer.client.get("/api/v1/events", headers={"Last-Event-ID": bad}), 422, "bad_field")
    await problem_of(await peer.client.get("/api/v1/events?follow=maybe"), 422, "bad_field")


async def test_following_one_job_and_leaving(peer: WebPeer):
    one, two = (await peer.submit())["id"], (await peer.submit())["id"]
    response = await peer.client.get(f"/api/v1/jobs/{one}/events")
    assert (await lines(response, "data:"))[-2] == "event: job_accepted"
    peer.mesh.note("frame_done", two)
    peer.mesh.note("frame_done", one, frame=3)
    line = (await lines(response, "data:"))[-1]
    assert json.loads(line.removeprefix("data: "))["frame"] == 3
    assert peer.mesh.listeners == 1
    response.close()

    def gone() -> bool:
        peer.mesh.note("tick", one)  # a broken connection is seen by writing to it
        return peer.mesh.listeners == 0

    await wait_until(gone)
    assert peer.app[SITE].streams.used == 0


async def test_a_silent_stream_says_that_it_is_alive(farm: Farm):
    peer = await farm.add("one", heartbeat_s=0.01)
    response = await peer.client.get("/api/v1/events")
    assert (await lines(response, ": still here"))[-1] == ": still here"
    response.close()


async def test_streams_end_when_the_peer_does(peer: WebPeer):
    response = await peer.client.get("/api/v1/events")
    await lines(response, ":")
    await wait_until(lambda: peer.mesh.listeners == 1)
    peer.app[SITE].closing.set()
    async with asyncio.timeout(10):
        await response.read()
    await wait_until(lambda: peer.mesh.listeners == 0)


async def test_streams_are_bounded(peer: WebPeer):
    peer.app[SITE].streams.used = limits.EVENT_STREAMS_MAX
    await problem_of(await peer.client.get("/api/v1/events"), 503, "too_many_streams")


async def test_a_job_s_events_from_another_peer(farm: Farm):
    one, two = await farm.add("one"), await farm.add("two")
    job = (await one.submit(name="shot"))["id"]
    response = await two.client.get("/api/v1/jobs/shot/events?follow=false")
    events = parsed(await response.text())
    assert [(event, data["peer"], data["job"]) for _, event, data in events] == [("job_accepted", one.mesh.me, job)]
    again = await two.client.get("/api/v1/jobs/shot/events?follow=false", headers={"Last-Event-ID": events[0][0]})
    assert parsed(await again.text()) == []
    following = await two.client.get(f"/api/v1/jobs/{job}/events")
    await lines(following, "data:")
    one.mesh.note("frame_done", job)
    assert (await lines(following, "data:"))[-2] == "event: frame_done"
    following.close()
