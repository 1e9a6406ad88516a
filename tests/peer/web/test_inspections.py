from __future__ import annotations

from blake3 import blake3

from protocol.ids import Digest
from protocol.jobs.results import Failure, Inspection, SceneWarning
from tests.peer.web.conftest import SCENE, multipart, problem_of


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


async def test_without_a_renderer_of_that_version_anywhere_it_says_so(farm):
    one, two = await farm.add("one"), await farm.add("two")
    two.mesh.seen = Inspection(scene="Shot")
    problem = await problem_of(await one.client.post("/api/v1/inspections", data=form(("blender", "4.2"))), 503, "no_renderer")
    assert "4.2" in problem["detail"]
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
