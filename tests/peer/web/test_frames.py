"""Pictures, outputs and logs, here and from afar."""

from __future__ import annotations

import pytest

from protocol.ids import JobId
from protocol.jobs.results import Output
from tests.fakes.memory_store import digest_of
from tests.fakes.mesh import peer_id
from tests.peer.web.conftest import Farm, WebPeer, problem_of

PICTURE = bytes(range(256)) * 10


async def done(peer: WebPeer, **fields: str) -> JobId:
    job = JobId((await peer.submit("1-5", **fields))["id"])
    peer.mesh.finish(job, 2, PICTURE)
    return job


async def test_frames_come_in_pages(peer: WebPeer):
    job = (await peer.submit("1-5"))["id"]
    peer.mesh.finish(job, 2, PICTURE)
    seen: list[int] = []
    cursor = ""
    while cursor is not None:
        page = await (await peer.client.get(f"/api/v1/jobs/{job}/frames", params={"limit": "2", "cursor": cursor})).json()
        seen += [frame["frame"] for frame in page["frames"]]
        cursor = page["cursor"]
    assert seen == [1, 2, 3, 4, 5]
    only = await (await peer.client.get(f"/api/v1/jobs/{job}/frames?state=done")).json()
    assert only == {
        "frames": [
            {
                "frame": 2,
                "state": "done",
                "peer": peer.mesh.me,
                "attempts": 1,
                "generation": 1,
                "digest": digest_of(PICTURE),
                "pixel_hash": "0" * 64,
                "size": len(PICTURE),
                "seconds": 0.5,
                "error": None,
            }
        ],
        "cursor": None,
    }


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=1;2", "state=dome", "stat=done"])
async def test_bad_pages_are_422(peer: WebPeer, query: str):
    job = (await peer.submit())["id"]
    response = await peer.client.get(f"/api/v1/jobs/{job}/frames?{query}")
    document = await problem_of(response, 422, "unknown_field" if query.startswith("stat=") else "bad_field")
    assert document["errors"][0]["field"] == query.partition("=")[0]


async def test_a_picture_has_bytes_a_digest_and_a_name(peer: WebPeer):
    job = await done(peer, name="shot 1")
    response = await peer.client.get(f"/api/v1/jobs/{job}/frames/2")
    assert await response.read() == PICTURE
    assert response.headers["ETag"] == f'"{digest_of(PICTURE)}"'
    assert response.content_type == "image/png"
    assert 'filename="shot_1_0002.png"' in response.headers["Content-Disposition"]
    head = await peer.client.head(f"/api/v1/jobs/{job}/frames/2")
    assert (head.status, head.headers["Content-Length"], await head.read()) == (200, str(len(PICTURE)), b"")


async def test_conditions_and_ranges(peer: WebPeer):
    url, tag = f"/api/v1/jobs/{await done(peer)}/frames/2", f'"{digest_of(PICTURE)}"'
    for value in (tag, f'"x", W/{tag}', "*"):
        response = await peer.client.get(url, headers={"If-None-Match": value})
        assert (response.status, await response.read()) == (304, b"")
    assert (await peer.client.get(url, headers={"If-None-Match": '"other"'})).status == 200
    part = await peer.client.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status, await part.read(), part.headers["Content-Range"]) == (206, PICTURE[10:20], f"bytes 10-19/{len(PICTURE)}")
    same = await peer.client.get(url, headers={"Range": "bytes=-5", "If-Range": tag})
    assert (same.status, await same.read()) == (206, PICTURE[-5:])
    other = await peer.client.get(url, headers={"Range": "bytes=-5", "If-Range": '"other"'})
    assert (other.status, await other.read()) == (200, PICTURE)
    beyond = await peer.client.get(url, headers={"Range": "bytes=99999-"})
    await problem_of(beyond, 416, "bad_range")
    assert beyond.headers["Content-Range"] == f"bytes */{len(PICTURE)}"


async def test_frames_that_are_not_there(peer: WebPeer):
    job = await done(peer)
    await problem_of(await peer.client.get(f"/api/v1/jobs/{job}/frames/99"), 404, "no_such_frame")
    await problem_of(await peer.client.get(f"/api/v1/jobs/{job}/frames/abc"), 404, "no_such_frame")
    document = await problem_of(await peer.client.get(f"/api/v1/jobs/{job}/frames/3"), 409, "frame_not_done")
    assert "pending" in document["detail"]
    await problem_of(await peer.client.get(f"/api/v1/jobs/{'0' * 32}/frames/3"), 404, "no_such_job")


async def test_outputs_have_names_that_lead_to_their_bytes(peer: WebPeer):
    job = (await peer.submit("1-2", name="a", output="{job}/{frame:03d}"))["id"]
    depth = peer.blobs.add(b"depth")
    peer.mesh.finish(job, 1, PICTURE, more=(Output("layer", "depth.exr", depth, "1" * 64, 5, 4, 4, 1, "OPEN_EXR"),))
    listed = await (await peer.client.get(f"/api/v1/jobs/{job}/frames/1/outputs")).json()
    assert [row["name"] for row in listed["outputs"]] == ["a/001.png", "a/001.layer.depth.exr"]
    assert [row["digest"] for row in listed["outputs"]] == [digest_of(PICTURE), depth]
    for name in ("a/001.layer.depth.exr", "a%2F001.layer.depth.exr", "depth.exr"):
        response = await peer.client.get(f"/api/v1/jobs/{job}/frames/1/outputs/{name}")
        assert (response.status, await response.read(), response.content_type) == (200, b"depth", "image/x-exr")
    for name in ("other", "..%2f..%2fetc%2fpasswd", "%00"):
        await problem_of(await peer.client.get(f"/api/v1/jobs/{job}/frames/1/outputs/{name}"), 404, "no_such_output")


async def test_logs(peer: WebPeer):
    job = await done(peer)
    peer.mesh.fail(job, 3, "CUDA <out> of memory")
    log = await peer.client.get(f"/api/v1/jobs/{job}/frames/3/log")
    assert (log.status, await log.text(), log.content_type) == (200, "CUDA <out> of memory", "text/plain")
    assert log.headers["X-Content-Type-Options"] == "nosniff"
    await problem_of(await peer.client.get(f"/api/v1/jobs/{job}/frames/1/log"), 404, "no_log")
    await problem_of(await peer.client.get(f"/api/v1/jobs/{job}/frames/9/log"), 404, "no_such_frame")


async def test_a_blob_that_lies_elsewhere_is_fetched(peer: WebPeer):
    job, away = (await peer.submit("1-2"))["id"], b"rendered by another"
    output = Output("main", "0001.png", digest_of(away), "0" * 64, len(away), 4, 4, 3, "PNG")
    peer.mesh.finish_with(job, 1, output)
    await problem_of(await peer.client.get(f"/api/v1/jobs/{job}/frames/1"), 503, "blob_unreachable")
    peer.mesh.elsewhere[digest_of(away)] = away
    response = await peer.client.get(f"/api/v1/jobs/{job}/frames/1")
    assert await response.read() == away
    assert peer.mesh.fetched[-1] == (digest_of(away), len(away), (peer.mesh.me,))


async def test_a_log_that_lies_elsewhere_is_fetched(peer: WebPeer):
    job = await done(peer)
    log = peer.mesh.kept[job].files[2].log
    assert log is not None
    peer.mesh.elsewhere[log] = peer.blobs.blobs.pop(log)
    assert (await peer.client.get(f"/api/v1/jobs/{job}/frames/2/log")).status == 200
    assert peer.mesh.fetched == [(log, len(b"rendered\n"), (peer.mesh.me,))]


async def test_pictures_come_from_any_peer(farm: Farm):
    one, two = await farm.add("one"), await farm.add("two")
    job = await done(one, name="shot")
    url = f"/api/v1/jobs/{job}/frames/2"
    response = await two.client.get(url, headers={"Range": "bytes=0-9", "X-Request-Id": "mine-1"})
    assert (response.status, await response.read()) == (206, PICTURE[:10])
    assert response.headers.getall("X-Request-Id") == ["mine-1"]
    assert response.headers["ETag"] == f'"{digest_of(PICTURE)}"'
    assert one.passed_on[0][0] == f"/mesh/v1/api{url}"
    head = await two.client.head(url)
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(PICTURE)))
    unchanged = await two.client.get(url, headers={"If-None-Match": response.headers["ETag"]})
    assert unchanged.status == 304
    for path in ("frames", "frames/2/outputs", "frames/2/log", "why"):
        here, there = [await peer.client.get(f"/api/v1/jobs/shot/{path}") for peer in (one, two)]
        assert await here.read() == await there.read()
    await problem_of(await two.client.get(f"/api/v1/jobs/{job}/frames/3"), 409, "frame_not_done")
    assert peer_id("two") not in [peer for _, _, holders in one.mesh.fetched for peer in holders]
