from __future__ import annotations

import io
import json
from typing import Any

import pytest
from blake3 import blake3

from peer.ports import RenderFailed
from protocol import limits
from protocol.ids import Digest
from protocol.jobs.manifest import ManifestEntry, make_manifest
from protocol.jobs.results import Failure, Inspection, SceneWarning
from tests.peer.web.conftest import SCENE, Farm, WebPeer, multipart, problem_of


async def test_a_jobs_inspection_says_what_the_scene_is_with_findings_of_both_kinds(peer):
    job = (await peer.submit())["id"]
    warnings = (SceneWarning("refused_script", "info", "it did not run", "nothing"),)
    peer.mesh.kept[job].inspection = Inspection(blender="5.0.1", scene="Shot", frame_end=48, warnings=warnings, notes=("PNG",))
    body = await (await peer.client.get(f"/api/v1/jobs/{job}/inspection")).json()
    assert (body["blender"], body["scene"], body["frame_end"], body["notes"]) == ("5.0.1", "Shot", 48, ["PNG"])
    assert body["warnings"] == [{"code": "refused_script", "kind": "info", "text": "it did not run", "remedy": "nothing"}]
    assert body["error"] is None


async def test_a_broken_scene_says_why(peer):
    job = (await peer.submit())["id"]
    peer.mesh.kept[job].inspection = Inspection(error=Failure("scene", "no camera"))
    assert (await (await peer.client.get(f"/api/v1/jobs/{job}/inspection")).json())["error"] == "no camera"


async def test_a_job_that_nobody_has_looked_at_says_so(peer):
    job = (await peer.submit())["id"]
    await problem_of(await peer.client.get(f"/api/v1/jobs/{job}/inspection"), 404, "not_inspected")


async def test_another_peer_asks_the_holder(farm):
    one, two = await farm.add("one"), await farm.add("two")
    job = (await one.submit())["id"]
    one.mesh.kept[job].inspection = Inspection(scene="Shot")
    assert (await (await two.client.get(f"/api/v1/jobs/{job}/inspection")).json())["scene"] == "Shot"


def form(*fields: tuple[str, str], scene: bytes = SCENE):
    made = multipart(*fields)
    made.add_field("scene", scene, filename="shot.blend")
    made.add_field("asset", b"wood", filename="textures/wood.png")
    return made


async def test_a_scene_is_inspected_without_a_job(peer):
    peer.mesh.seen = Inspection(scene="Shot", notes=("PNG",))
    response = await peer.client.post("/api/v1/inspections", data=form(("engine", "CYCLES")))
    assert response.status == 200, await response.text()
    assert (await response.json())["scene"] == "Shot"
    [(manifest, settings)] = peer.mesh.looked
    assert [entry.name for entry in manifest.files] == ["shot.blend", "textures/wood.png"]
    assert settings.engine == "CYCLES"
    assert peer.mesh.kept == {}


async def test_a_peer_without_a_renderer_lets_another_look_which_fetches_the_files(farm):
    one, two = await farm.add("one"), await farm.add("two")
    two.mesh.seen = Inspection(scene="Shot")
    for piece in (SCENE, b"wood"):
        two.mesh.elsewhere[Digest(blake3(piece).hexdigest())] = piece
    response = await one.client.post("/api/v1/inspections", data=form(("samples", "4")))
    assert response.status == 200, await response.text()
    assert (await response.json())["scene"] == "Shot"
    [(manifest, settings)] = two.mesh.looked
    assert manifest.main == "shot.blend"
    assert settings.samples == 4


async def test_without_a_renderer_of_that_version_anywhere_it_names_those_that_there_are(farm):
    one, two = await farm.add("one"), await farm.add("two")
    two.mesh.seen = Inspection(scene="Shot")
    problem = await problem_of(await one.client.post("/api/v1/inspections", data=form(("blender", "4.2"))), 422, "no_renderer")
    assert problem["detail"] == "blender: no peer has Blender 4.2; there are: 5.0.1"
    assert two.mesh.looked == []


async def test_where_nobody_has_found_a_renderer_yet_it_says_when_to_ask_again(peer):
    response = await peer.client.post("/api/v1/inspections", data=form(("blender", "4.2")))
    assert response.headers["Retry-After"] == "10"
    assert (await problem_of(response, 503, "no_renderer"))["detail"] == "no peer has the renderer blender 4.2"


async def test_a_peer_whose_blender_is_older_than_the_file_lets_a_newer_one_look(farm):
    one, two = await farm.add("one"), await farm.add("two")
    one.mesh.seen = two.mesh.seen = Inspection(scene="Shot")
    one.mesh.blenders = ["3.4.1"]
    two.mesh.elsewhere = {Digest(blake3(piece).hexdigest()): piece for piece in (SCENE, b"wood")}
    assert (await one.client.post("/api/v1/inspections", data=form())).status == 200
    assert (len(one.mesh.looked), len(two.mesh.looked)) == (0, 1)


async def test_a_peer_without_slots_or_that_drains_is_not_asked_to_look(farm):
    one, two = await farm.add("one"), await farm.add("two")
    one.mesh.seen = two.mesh.seen = Inspection(scene="Shot")
    one.mesh.slots, two.mesh.draining = 0, True
    await problem_of(await one.client.post("/api/v1/inspections", data=form()), 503, "no_renderer")
    assert one.mesh.looked == []
    assert two.mesh.looked == []


async def test_a_renderer_that_has_gone_since_is_told_as_such(peer):
    peer.mesh.seen = Inspection(scene="Shot")
    peer.mesh.look_fails = RenderFailed(Failure("infrastructure", "its Blender is being replaced"))
    problem = await problem_of(await peer.client.post("/api/v1/inspections", data=form()), 503, "no_renderer")
    assert problem["detail"] == "its Blender is being replaced"


async def passed_on(farm: Farm, peer: WebPeer, body: str) -> tuple[int, dict[str, Any]]:
    """What `peer` answers to another that passes a look on."""
    url = peer.mesh_port.make_url("/mesh/v1/api/api/v1/inspections")
    headers = {"X-Rendermesh-Role": "submitter", "Content-Type": "application/json"}
    async with farm.session.post(url, headers=headers, data=io.BytesIO(body.encode())) as response:
        return response.status, await response.json()


async def test_a_scene_of_as_many_files_as_there_may_be_is_passed_on(farm):
    two = await farm.add("two")
    two.mesh.seen = Inspection(scene="Shot")
    [(scene, size)] = await two.blobs.take_many([SCENE])
    names = ["shot.blend", *(f"cache/{'x' * 40}{number}.bphys" for number in range(limits.FILES_PER_MANIFEST_MAX - 1))]
    manifest = make_manifest("shot.blend", [ManifestEntry(name, scene, size) for name in names])
    data = json.dumps({"spec": {}, "main": manifest.main, "files": [[name, scene, size] for name in names]})
    assert len(data) > limits.HTTP_BODY_BYTES_MAX
    assert (await passed_on(farm, two, data))[0] == 200
    [(looked, _)] = two.mesh.looked
    assert looked == manifest


@pytest.mark.parametrize(
    "entry",
    [["../shot.blend", "0" * 64, 4], ["shot.blend", "../../secret", 4], ["shot.blend", "0" * 64, -4], ["shot.blend", "0" * 64]],
)
async def test_a_manifest_that_leads_elsewhere_is_refused_also_from_a_member(farm, entry):
    two = await farm.add("two")
    two.mesh.seen = Inspection(scene="Shot")
    status, answer = await passed_on(farm, two, json.dumps({"spec": {}, "main": entry[0], "files": [entry]}))
    assert status == 422, answer
    assert answer["code"] in ("bad_manifest", "bad_field")
    assert two.mesh.looked == []


async def test_what_is_no_scene_and_no_scene_at_all_are_refused_before_anybody_looks(peer):
    peer.mesh.seen = Inspection(scene="Shot")
    await problem_of(await peer.client.post("/api/v1/inspections", data=form(scene=b"text")), 422, "not_a_blend")
    await problem_of(await peer.client.post("/api/v1/inspections", data=multipart(("frames", "1"))), 422, "no_scene")
    assert peer.mesh.looked == []


async def test_another_peer_that_fails_is_named(farm):
    one, two = await farm.add("one"), await farm.add("two")
    two.mesh.seen = Inspection(scene="Shot")
    problem = await problem_of(await one.client.post("/api/v1/inspections", data=form()), 503, "no_renderer")
    assert two.mesh.me[:12] in problem["detail"]
