"""Submissions as clients send them, and as nobody should."""

from __future__ import annotations

import asyncio
import io
import json
import shutil

import aiohttp
import pytest

from protocol import limits
from protocol.errors import Unavailable
from protocol.ids import JobId
from tests.fakes.memory_store import digest_of
from tests.peer.web.conftest import SCENE, Farm, SceneSender, WebPeer, blob_count, multipart, problem_of
from tests.waiting import wait_until


async def test_a_scene_with_assets_becomes_a_manifest_with_their_names(peer: WebPeer, send_scene: SceneSender):
    response = await send_scene(
        ("frames", "1-48"),
        ("name", "shot 1"),
        ("label", "show=a"),
        ("label", "shot=b"),
        assets={"textures/wood.png": b"w", "hdr.exr": b"h"},
    )
    assert response.status == 202
    body = await response.json()
    assert response.headers["Location"] == f"/api/v1/jobs/{body['id']}"
    assert body == {"id": body["id"], "name": "shot 1", "state": "queued", "owner": peer.mesh.me, "durability": {"copies": 2}}
    job = peer.mesh.kept[body["id"]]
    assert job.manifest.main == "shot.blend"
    assert {entry.name: entry.digest for entry in job.manifest.files} == {
        "shot.blend": digest_of(SCENE),
        "textures/wood.png": digest_of(b"w"),
        "hdr.exr": digest_of(b"h"),
    }
    assert job.spec.label == ("show=a", "shot=b")
    assert job.submitter == "local"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_curl_keeps_the_folder_of_an_asset(peer: WebPeer, tmp_path):
    (tmp_path / "shot.blend").write_bytes(SCENE)
    (tmp_path / "x.png").write_bytes(b"wood")
    process = await asyncio.create_subprocess_exec(
        "curl",
        "-sS",
        "-F",
        "frames=1-4",
        "-F",
        "asset=@x.png;filename=textures/wood.png",
        "-F",
        "scene=@shot.blend",
        "-F",
        "samples=4",
        str(peer.client.make_url("/api/v1/jobs")),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    job = peer.mesh.kept[JobId(json.loads(out)["id"])]
    assert [entry.name for entry in job.manifest.files] == ["shot.blend", "textures/wood.png"]
    assert job.spec.samples == 4


async def test_a_scene_s_own_folder_is_left_out(peer: WebPeer, send_scene: SceneSender):
    response = await send_scene(("frames", "1"), name="C:\\jobs\\été 1.blend")
    job = peer.mesh.kept[(await response.json())["id"]]
    assert job.manifest.main == "été 1.blend"


@pytest.mark.parametrize("name", ["../up.png", "/etc/passwd", "a/../../b", "C:\\x.png", "..\\x.png", "tex\tures.png"])
async def test_names_that_lead_out_are_refused(peer: WebPeer, send_scene: SceneSender, name: str):
    response = await send_scene(("frames", "1"), assets={name: b"evil"})
    await problem_of(response, 422, "bad_file_name")
    assert peer.mesh.kept == {}
    assert digest_of(b"evil") not in peer.blobs.blobs


async def test_two_files_of_one_name_are_refused(send_scene: SceneSender):
    response = await send_scene(("frames", "1"), assets={"tex.png": b"1", "./tex.png": b"2"})
    await problem_of(response, 422, "bad_manifest")


@pytest.mark.parametrize(
    ("field", "value", "code", "says"),
    [
        ("frames", "48-1", "bad_frames", "runs backwards"),
        ("frames", "abc", "bad_frames", "write for example"),
        ("frames", "1-1000001", "too_many_frames", "1,000,000"),
        ("engine", "LUXCORE", "bad_field", "engine"),
        ("samples", "many", "bad_field", "samples"),
        ("samples", "0", "bad_field", "samples"),
        ("resolution", "1x1", "bad_field", "4 to 65536"),
        ("priority", "101", "bad_field", "priority"),
        ("label", "no-value", "bad_field", "label"),
        ("settings", "{", "bad_field", "JSON object"),
        ("settings", "[1]", "bad_field", "JSON object"),
        ("engin", "CYCLES", "unknown_field", "did you mean 'engine'"),
        ("durability", "three", "bad_field", "durability"),
        ("output", "{job.__class__}", "bad_output", "only {job}"),
        ("output", "still", "bad_output", "{frame}"),
        ("name", "x" * 201, "bad_field", "name"),
        ("name", "x" * 70_000, "bad_field", "longer than"),
    ],
)
async def test_a_bad_field_is_named(peer: WebPeer, send_scene: SceneSender, field: str, value: str, code: str, says: str):
    document = await problem_of(await send_scene((field, value)), 422, code)
    assert says in document["detail"]
    if code in ("bad_field", "unknown_field"):
        assert [error["field"].partition(".")[0] for error in document["errors"]] == [field]
    assert peer.mesh.kept == {}


async def test_every_wrong_field_is_told_at_once(send_scene: SceneSender):
    document = await problem_of(await send_scene(("samples", "x"), ("priority", "y")), 422, "bad_field")
    assert {error["field"] for error in document["errors"]} == {"samples", "priority"}


async def test_what_is_not_a_blend_is_refused(peer: WebPeer, send_scene: SceneSender):
    await problem_of(await send_scene(("frames", "1"), data=b"\x89PNG....."), 422, "not_a_blend")
    assert peer.mesh.kept == {}


async def test_a_scene_must_be_a_file(peer: WebPeer):
    response = await peer.client.post("/api/v1/jobs", data=multipart(("scene", "shot.blend"), ("frames", "1")))
    document = await problem_of(response, 422, "bad_field")
    assert "scene=@FILE" in document["detail"]


async def test_a_blender_job_needs_a_scene(peer: WebPeer):
    response = await peer.client.post("/api/v1/jobs", data=multipart(("frames", "1-3")))
    await problem_of(response, 422, "no_scene")


async def test_a_null_job_needs_no_scene_but_frames(peer: WebPeer):
    assert (await peer.submit("1-3", settings='{"frame_ms": 30}'))["state"] == "queued"
    response = await peer.client.post("/api/v1/jobs", data=multipart(("renderer", "null")))
    await problem_of(response, 422, "bad_field")


async def test_a_key_makes_a_submission_idempotent(peer: WebPeer):
    body = {"renderer": "null", "frames": "1-3"}
    first = await peer.client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "k1"})
    again = await peer.client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "k1"})
    assert (await first.json())["id"] == (await again.json())["id"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await peer.client.post("/api/v1/jobs", json={**body, "frames": "1"}, headers={"Idempotency-Key": "k1"})
    await problem_of(other, 409, "key_reused")
    for bad in ("", "k" * 256):
        await problem_of(await peer.client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": bad}), 422, "bad_field")
    without = [await peer.client.post("/api/v1/jobs", json=body) for _ in range(2)]
    assert len({(await response.json())["id"] for response in without}) == 2


async def test_json_names_blobs_that_are_here(peer: WebPeer):
    scene, asset = peer.blobs.add(SCENE), peer.blobs.add(b"wood")
    body = {
        "frames": "1-2",
        "scene": {"blob": scene, "name": "a.blend"},
        "assets": [{"name": "t/w.png", "blob": asset}],
        "label": ["a=b"],
    }
    response = await peer.client.post("/api/v1/jobs", json=body)
    job = peer.mesh.kept[(await response.json())["id"]]
    assert {entry.name: entry.size for entry in job.manifest.files} == {"a.blend": len(SCENE), "t/w.png": 4}


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"scene": {"blob": "a" * 64}}, 422, "no_such_blob", "scene.blob"),
        ({"scene": {"blob": "../../etc/passwd"}}, 422, "bad_field", "scene.blob"),
        ({"scene": {"path": "/etc/passwd"}}, 422, "bad_path", "scene.path"),
        ({"scene": {}}, 422, "bad_field", "scene"),
        ({"frames": "1", "colour": 1}, 422, "unknown_field", "colour"),
        ({"frames": 1}, 422, "bad_field", "frames"),
        ({"assets": [{"name": "x", "blob": "a" * 64}]}, 422, "no_scene", "scene"),
    ],
)
async def test_bad_json_submissions_name_the_field(peer: WebPeer, body, status, code, field):
    document = await problem_of(await peer.client.post("/api/v1/jobs", json=body), status, code)
    assert field in [error["field"] for error in document["errors"]]


@pytest.mark.parametrize("body", ["", "[]", "{", '{"frames": NaN}', '{"name": "a", "name": "b"}', "[" * 100_000, "\xff"])
async def test_what_is_no_json_object_is_400(peer: WebPeer, body: str):
    response = await peer.client.post("/api/v1/jobs", data=body.encode("latin-1"), headers={"Content-Type": "application/json"})
    await problem_of(response, 400, "bad_json")


async def test_huge_json_is_413(peer: WebPeer):
    data = b'{"name": "' + b"x" * limits.HTTP_BODY_BYTES_MAX + b'"}'
    response = await peer.client.post("/api/v1/jobs", data=io.BytesIO(data), headers={"Content-Type": "application/json"})
    await problem_of(response, 413, "body_too_large")


async def test_other_media_types_are_415(peer: WebPeer):
    response = await peer.client.post("/api/v1/jobs", data={"frames": "1"})
    await problem_of(response, 415, "unsupported_media_type")


async def test_a_scene_beyond_the_limit_is_refused_by_its_header_and_by_its_bytes(farm: Farm):
    peer = await farm.add("small", scene_bytes_max=10_000)
    form = multipart(("frames", "1"))
    form.add_field("scene", SCENE * 20, filename="a.blend")
    await problem_of(await peer.client.post("/api/v1/jobs", data=form), 413, "body_too_large")

    async def chunked():
        for _ in range(30):
            yield SCENE

    writer = aiohttp.MultipartWriter("form-data")
    part = writer.append(chunked())
    part.set_content_disposition("form-data", name="scene", filename="a.blend")
    try:
        response = await peer.client.post("/api/v1/jobs", data=writer)
    except aiohttp.ClientOSError:
        pass  # the connection was closed before the client had written all: also a refusal
    else:
        await problem_of(response, 413, "body_too_large")
    assert blob_count(peer) == 0


async def test_a_full_store_is_said(peer: WebPeer, send_scene: SceneSender):
    peer.blobs.bytes_max = 500
    response = await send_scene(("frames", "1"))
    await problem_of(response, 503, "store_full")
    assert int(response.headers["Retry-After"]) > 0
    assert peer.mesh.kept == {}


async def test_a_mesh_that_cannot_promise_is_503(peer: WebPeer):
    peer.mesh.refusal = Unavailable("draining", "this peer takes no new work", retry_after_s=7.2)
    response = await peer.client.post("/api/v1/jobs", json={"renderer": "null", "frames": "1"})
    await problem_of(response, 503, "draining")
    assert response.headers["Retry-After"] == "8"


async def test_uploads_are_bounded(peer: WebPeer, send_scene: SceneSender):
    from peer.web.site import SITE

    peer.app[SITE].uploads.used = limits.UPLOADS_AT_ONCE_MAX
    await problem_of(await send_scene(("frames", "1")), 503, "too_many_uploads")
    peer.app[SITE].uploads.used = 0
    assert (await send_scene(("frames", "1"))).status == 202


HEAD = (
    "POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=B\r\n"
    "Content-Length: {length}\r\n\r\n"
)
PART = b'--B\r\nContent-Disposition: form-data; name="scene"; filename="a.blend"\r\n\r\nBLENDER'


async def begin_upload(
    peer: WebPeer, data: bytes, *, length: int = 1_000_000
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = peer.client.make_url("/")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(HEAD.format(length=length).encode() + data)
    await writer.drain()
    return reader, writer


async def test_a_client_gone_in_mid_upload_leaves_nothing(peer: WebPeer, monkeypatch: pytest.MonkeyPatch):
    from peer.web.site import SITE

    aborted: list[bool] = []
    make = peer.blobs.writer

    async def spied(*args, **kwargs):
        writer = await make(*args, **kwargs)
        abort = writer.abort

        async def noted(*, keep: bool) -> None:
            aborted.append(keep)
            await abort(keep=keep)

        monkeypatch.setattr(writer, "abort", noted)
        return writer

    monkeypatch.setattr(peer.blobs, "writer", spied)
    _, writer = await begin_upload(peer, PART + bytes(400_000))
    await wait_until(lambda: peer.app[SITE].uploads.used == 1)
    writer.close()
    await wait_until(lambda: aborted == [False])
    await wait_until(lambda: peer.app[SITE].uploads.used == 0)
    assert peer.blobs.blobs == {}
    assert peer.blobs.partials == {}
    assert peer.mesh.kept == {}


@pytest.mark.parametrize(
    "data", [PART + bytes(1_000), PART + bytes(1_000) + b"\r\n--B", PART + bytes(1_000) + b"\r\n--B\r\n", b"--B\r\n", b"nothing"]
)
async def test_a_form_without_its_end_is_not_taken_for_a_shorter_scene(peer: WebPeer, data: bytes):
    reader, writer = await begin_upload(peer, data, length=len(data))
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert peer.mesh.kept == {}


async def test_a_stalled_upload_is_cut(farm: Farm):
    peer = await farm.add("impatient", body_grace_s=0.05)
    reader, writer = await begin_upload(peer, PART)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408"), answer
    assert b"body_too_slow" in answer
    assert peer.blobs.blobs == {}


async def test_a_gzipped_body_counts_as_what_it_unpacks_to(peer: WebPeer):
    import gzip

    data = gzip.compress(b'{"name": "' + b"x" * 5_000_000 + b'"}')
    assert len(data) < limits.HTTP_BODY_BYTES_MAX
    response = await peer.client.post(
        "/api/v1/jobs", data=data, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
    )
    await problem_of(response, 413, "body_too_large")


def test_the_form_takes_every_field_of_a_job():
    from peer.web.submission import TEXT_FIELDS
    from protocol.jobs.spec import JobSpec

    assert {*TEXT_FIELDS, "label", "settings"} == set(JobSpec.model_fields)
