from __future__ import annotations

from protocol.jobs.results import Failure, Inspection, SceneWarning
from tests.peer.web.conftest import problem_of


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
