from __future__ import annotations

import io
import zipfile

import aiohttp
import pytest

from protocol.ids import Digest, JobId
from protocol.jobs.results import Output
from tests.fakes.memory_store import digest_of
from tests.peer.web.conftest import Farm, WebPeer, problem_of


async def unpacked(response) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(await response.read())) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


async def job_of(peer: WebPeer) -> JobId:
    job = JobId((await peer.submit("1-5", name="my shot"))["id"])
    for frame in (1, 2, 4):
        peer.mesh.finish(job, frame, f"picture {frame}".encode() * 1_000)
    return job


async def test_done_frames_are_in_it_and_the_missing_are_counted(peer: WebPeer):
    job = await job_of(peer)
    response = await peer.client.get(f"/api/v1/jobs/{job}/archive")
    assert response.headers["X-Frames-Missing"] == "2"
    assert response.content_type == "application/zip"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="my_shot.zip"')
    files = await unpacked(response)
    assert files == {f"my_shot_{frame:04d}.png": f"picture {frame}".encode() * 1_000 for frame in (1, 2, 4)}


async def test_some_frames(peer: WebPeer):
    job = await job_of(peer)
    response = await peer.client.get(f"/api/v1/jobs/{job}/archive?frames=2-3")
    assert (response.headers["X-Frames-Missing"], list(await unpacked(response))) == ("1", ["my_shot_0002.png"])
    await problem_of(await peer.client.get(f"/api/v1/jobs/{job}/archive?frames=3-2"), 422, "bad_frames")
    await problem_of(await peer.client.get(f"/api/v1/jobs/{job}/archive?frames=5"), 409, "no_frame_done")


async def test_nothing_done_is_409(peer: WebPeer):
    job = (await peer.submit())["id"]
    await problem_of(await peer.client.get(f"/api/v1/jobs/{job}/archive"), 409, "no_frame_done")


async def test_from_another_peer_with_blobs_of_a_third(farm: Farm):
    one, two = await farm.add("one"), await farm.add("two")
    job, away = await job_of(one), b"away"
    one.mesh.finish_with(job, 3, Output("main", "3.png", digest_of(away), "0" * 64, 4, 4, 4, 3, "PNG"))
    one.mesh.elsewhere[digest_of(away)] = away
    files = await unpacked(await two.client.get(f"/api/v1/jobs/{job}/archive"))
    assert files["my_shot_0003.png"] == away
    assert len(files) == 4


async def test_a_blob_that_cannot_be_had_is_said_before_anything_is_sent(peer: WebPeer):
    job = (await peer.submit("1-2"))["id"]
    peer.mesh.finish_with(job, 1, Output("main", "1.png", Digest("e" * 64), "0" * 64, 4, 4, 4, 3, "PNG"))
    await problem_of(await peer.client.get(f"/api/v1/jobs/{job}/archive"), 503, "blob_unreachable")


async def test_a_break_in_the_middle_is_seen(peer: WebPeer):
    job = await job_of(peer)
    peer.mesh.finish_with(job, 5, Output("main", "5.png", Digest("e" * 64), "0" * 64, 4, 4, 4, 3, "PNG"))
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await read(peer, f"/api/v1/jobs/{job}/archive")


async def read(peer: WebPeer, url: str) -> bytes:
    response = await peer.client.get(url)
    return await response.read()
