"""Zips as scenes, over HTTP: what becomes of their files, and that nothing is left of those that are refused."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from peer.web.scenezip import SceneZip
from peer.web.site import SITE
from protocol import limits
from protocol.ids import JobId
from tests.fakes.memory_store import digest_of
from tests.peer.web.conftest import SCENE, Farm, SceneSender, WebPeer, blob_count, multipart, problem_of
from tests.waiting import wait_until
from tests.zips import LINK, Raw, raw_zip, zipped

WOOD = b"wood"
LARGE = os.urandom(3 * limits.BLOB_CHUNK_BYTES + 5)
SHOT = {"show/shot.blend": SCENE, "textures/wood.png": WOOD, "textures/again.png": WOOD, "cache/a.vdb": LARGE}


def left_over(peer: WebPeer) -> list[Path]:
    return sorted(peer.blobs.folder.glob("in-*"))


@pytest.mark.parametrize("name", ["shot.zip", "shot.blend"])
async def test_each_file_of_a_zip_is_a_blob_of_its_own(peer: WebPeer, send_scene: SceneSender, name: str):
    response = await send_scene(("frames", "1-4"), ("samples", "4"), data=zipped(SHOT), name=name)
    assert response.status == 202, await response.text()
    body = await response.json()
    job = peer.mesh.kept[body["id"]]
    assert job.manifest.main == "show/shot.blend"
    assert {entry.name: (entry.digest, entry.size) for entry in job.manifest.files} == {
        path: (digest_of(data), len(data)) for path, data in SHOT.items()
    }
    assert job.spec.samples == 4
    assert blob_count(peer) == 3, "two files are alike, and the zip itself is not kept"
    assert left_over(peer) == []


async def test_a_zip_and_its_files_sent_one_by_one_are_the_same_scene(peer: WebPeer, send_scene: SceneSender):
    files = {"shot.blend": SCENE, "textures/wood.png": WOOD}
    one = await send_scene(("frames", "1"), data=zipped(files), name="shot.zip")
    two = await send_scene(("frames", "1"), assets={"textures/wood.png": WOOD})
    manifests = [peer.mesh.kept[(await response.json())["id"]].manifest for response in (one, two)]
    assert manifests[0] == manifests[1]


@pytest.mark.parametrize("first", [True, False])
async def test_main_says_which_scene_is_meant(peer: WebPeer, first: bool):
    data = zipped({"a.blend": SCENE, "lib/b.blend": SCENE + b"b"})
    form = multipart()
    for part in ("main", "scene") if first else ("scene", "main"):
        if part == "main":
            form.add_field("main", "lib\\b.blend")
        else:
            form.add_field("scene", data, filename="two.zip")
    response = await peer.client.post("/api/v1/jobs", data=form)
    assert response.status == 202, await response.text()
    assert peer.mesh.kept[JobId((await response.json())["id"])].manifest.main == "lib/b.blend"


TWO = zipped({"a.blend": SCENE, "lib/b.blend": SCENE})


@pytest.mark.parametrize(
    ("data", "main", "code", "field", "says"),
    [
        (TWO, "", "several_scenes", "main", "a.blend, lib/b.blend"),
        (TWO, "c.blend", "no_such_main", "main", "a.blend, lib/b.blend"),
        (TWO, "../a.blend", "bad_file_name", "scene", "'../a.blend'"),
        (zipped({"a.png": b"x"}), "", "no_scene", "scene", "no scene in it"),
        (zipped({}), "", "no_scene", "scene", "no scene in it"),
        (SCENE, "a.blend", "bad_field", "main", "not a zip"),
        (b"not at all", "", "bad_zip", "scene", "cut short or damaged"),
        (TWO[:-20], "a.blend", "bad_zip", "scene", "cut short or damaged"),
        (raw_zip([Raw(b"a.blend", SCENE), Raw(b"../x", b"y")]), "", "bad_file_name", "scene", "'../x'"),
        (raw_zip([Raw(b"a.blend", SCENE), Raw(b"C:\\x", b"y")]), "", "bad_file_name", "scene", "C:"),
        (raw_zip([Raw(b"a.blend", SCENE), Raw(b"A.BLEND", b"y")]), "a.blend", "bad_manifest", "scene", "A.BLEND"),
        (raw_zip([Raw(b"a.blend", SCENE), Raw(b"x", b"/etc", attributes=LINK)]), "", "bad_zip", "scene", "is a link"),
        (raw_zip([Raw(b"a.blend", SCENE), Raw(b"x", LARGE, crc=7)]), "", "bad_zip", "scene", "CRC"),
        (raw_zip([Raw(b"a.blend", SCENE), Raw(b"x", b"y", flags=1)]), "", "bad_zip", "scene", "without a password"),
        (raw_zip([Raw(b"a.blend", SCENE), Raw(b"x", b"y", method=9)]), "", "bad_zip", "scene", "method 9"),
    ],
)
async def test_zips_that_are_refused_leave_nothing(
    peer: WebPeer, send_scene: SceneSender, data: bytes, main: str, code: str, field: str, says: str
):
    response = await send_scene(("frames", "1"), ("main", main), data=data, name="two.zip" if data != SCENE else "two.blend")
    document = await problem_of(response, 422, code)
    assert says in document["detail"]
    assert [error["field"] for error in document["errors"]] == [field]
    assert peer.mesh.kept == {}
    assert left_over(peer) == []
    assert [*peer.blobs.blobs] in ([], [digest_of(SCENE)] if data == SCENE else [])


async def test_the_scene_of_another_renderer_is_found_in_a_zip(farm: Farm):
    peer = await farm.add("other", renderer_of=lambda name: "null" if name.endswith(".pov") else None)
    form = multipart(("frames", "1"))
    form.add_field("scene", zipped({"a.pov": b"sphere", "colours.inc": b"x"}), filename="a.zip")
    response = await peer.client.post("/api/v1/jobs", data=form)
    assert response.status == 202, await response.text()
    job = peer.mesh.kept[JobId((await response.json())["id"])]
    assert (job.manifest.main, job.spec.renderer) == ("a.pov", "null")


async def test_what_is_in_a_zip_must_be_a_scene(send_scene: SceneSender):
    response = await send_scene(("frames", "1"), data=zipped({"a.blend": b"no blend"}), name="a.zip")
    await problem_of(response, 422, "not_a_blend")


@pytest.mark.parametrize("first", [True, False])
async def test_assets_beside_a_zip_are_refused(peer: WebPeer, first: bool):
    form = multipart(("frames", "1"))
    for part in ("asset", "scene") if first else ("scene", "asset"):
        form.add_field(part, TWO if part == "scene" else WOOD, filename="two.zip" if part == "scene" else "wood.png")
    document = await problem_of(await peer.client.post("/api/v1/jobs", data=form), 422, "bad_field")
    assert (document["errors"][0]["field"], left_over(peer)) == ("asset", [])


async def test_a_zip_that_unpacks_to_more_than_a_scene_may_have_is_refused(farm: Farm):
    peer = await farm.add("small", scene_bytes_max=50_000)
    form = multipart(("frames", "1"))
    form.add_field("scene", zipped({"a.blend": bytes(50_001)}), filename="a.zip")
    await problem_of(await peer.client.post("/api/v1/jobs", data=form), 422, "zip_too_large")
    assert blob_count(peer) == 0


async def test_a_bad_field_beside_a_zip_leaves_nothing_of_it(peer: WebPeer, send_scene: SceneSender):
    response = await send_scene(("frames", "x"), data=zipped(SHOT), name="shot.zip")
    await problem_of(response, 422, "bad_frames")
    assert (blob_count(peer), left_over(peer)) == (0, [])


async def test_a_store_that_gets_full_is_said(peer: WebPeer, send_scene: SceneSender):
    data = zipped(SHOT)
    peer.blobs.bytes_max = len(data) + 100
    await problem_of(await send_scene(("frames", "1"), data=data, name="shot.zip"), 503, "store_full")
    assert left_over(peer) == []


async def test_json_names_a_zip_by_digest_and_by_path(farm: Farm, tmp_path: Path):
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "two.zip").write_bytes(TWO)
    peer = await farm.add("sharing", shared_roots={"shots": tmp_path / "shots"})
    digest = peer.blobs.add(TWO)
    for scene in ({"blob": digest}, {"path": "shots:two.zip"}):
        body: dict[str, object] = {"frames": "1", "scene": {**scene, "main": "lib/b.blend"}}
        response = await peer.client.post("/api/v1/jobs", json=body)
        assert response.status == 202, await response.text()
        assert peer.mesh.kept[JobId((await response.json())["id"])].manifest.main == "lib/b.blend"
        await problem_of(await peer.client.post("/api/v1/jobs", json={**body, "scene": scene}), 422, "several_scenes")
        body["assets"] = [{"name": "x", "blob": digest}]
        await problem_of(await peer.client.post("/api/v1/jobs", json=body), 422, "bad_field")
    plain = {"frames": "1", "scene": {"blob": peer.blobs.add(SCENE), "main": "a.blend"}}
    await problem_of(await peer.client.post("/api/v1/jobs", json=plain), 422, "bad_field")


async def test_an_inspection_takes_a_zip_too(peer: WebPeer):
    form = multipart()
    form.add_field("scene", TWO, filename="two.zip")
    await problem_of(await peer.client.post("/api/v1/inspections", data=form), 422, "several_scenes")


async def test_a_client_that_goes_away_while_its_zip_is_unpacked_leaves_nothing(
    peer: WebPeer, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    """The loop goes on meanwhile: it sees the client go, and answers others."""
    entered, go_on = threading.Event(), threading.Event()
    pieces = SceneZip.pieces

    def held(self, member):
        entered.set()
        assert go_on.wait(20)
        return pieces(self, member)

    monkeypatch.setattr(SceneZip, "pieces", held)
    form = multipart(("frames", "1"))
    form.add_field("scene", zipped(SHOT), filename="shot.zip")
    sending = asyncio.create_task(peer.client.post("/api/v1/jobs", data=form))
    await wait_until(entered.is_set)
    assert len(left_over(peer)) == 1
    assert (await peer.client.get("/api/v1/jobs")).status == 200
    sending.cancel()
    go_on.set()
    await wait_until(lambda: peer.app[SITE].uploads.used == 0)
    assert left_over(peer) == []
