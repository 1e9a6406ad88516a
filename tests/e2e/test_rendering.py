"""The main job: real Blender frames, rendered by a mesh of peers, fetched from any of them."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from peer.render.verify_child import Expected, examine, pixel_hash
from tests.e2e.mesh import BLENDER_S, Mesh
from tests.scenes import build as scenes
from tests.waiting import wait_until

pytestmark = pytest.mark.blender
ALONE = Path(__file__).with_name("alone.py")


async def test_three_peers_render_what_one_blender_renders_and_any_of_them_gives_out_the_frames(mesh, tmp_path):
    scene = scenes.build("quick", tmp_path / "scene", scenes.any_home())
    owner, second, third = await mesh.start_many("owner", "second", "third", renderer="")
    done = mesh.peerctl(owner, "submit", str(scene), "-f", "1-24", "--threads", "1", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    [job] = [row["id"] for row in owner.get("/jobs")["jobs"]]
    fetched = mesh.peerctl(third, "fetch", job, "-d", str(tmp_path / "frames"))
    assert fetched.returncode == 0, fetched.stderr
    files = sorted((tmp_path / "frames").iterdir())
    assert [path.name for path in files] == [f"scene_{number:04d}.png" for number in range(1, 25)]
    hashes = {number: examine(path, Expected(320, 180, 3, "PNG")).pixel_hash for number, path in enumerate(files, 1)}
    await second.until_ended(job)
    assert hashes == {row["frame"]: row["pixel_hash"] for row in second.frames(job)}
    scenes.run_blender(scenes.any_home(), ALONE, str(scene), str(tmp_path / "alone"), "24")
    assert hashes == {number: pixel_hash(tmp_path / "alone" / f"{number:04d}.png") for number in range(1, 25)}
    commits = Counter(row["by"] for row in owner.events("frame_committed"))
    assert set(commits) == {owner.id, second.id, third.id}
    leased = {(row["to"], frame) for row in owner.events("frames_leased") for frame in row["frames"]}
    assert {(row["by"], row["frame"]) for row in owner.events("frame_committed")} <= leased


async def test_a_peer_with_the_program_and_one_with_the_module_render_each_for_itself(mesh, tmp_path):
    """Two renderer homes, one mesh: a job stays with one Blender version, and each version serves its own jobs."""
    if set(scenes.homes()) != {"bpy", "program"}:
        pytest.skip("only one home has a Blender here")
    scene = scenes.build("quick", tmp_path / "scene", "program")  # the program is the older one here
    module = await mesh.start("module", renderer="bpy")
    program = await mesh.start("program", "--blender", str(shutil.which("blender")), renderer="blender")
    await mesh.together([module, program])
    versions = {peer.name: peer.get(f"/peers/{peer.id}")["capabilities"][0] for peer in (module, program)}
    assert {name: one["home"] for name, one in versions.items()} == {"module": "bpy", "program": "program"}
    for peer in (module, program):
        wanted = ".".join(versions[peer.name]["version"].split(".")[:2])
        job = module.submit(scene, frames="1-3", blender=wanted)
        ended = await module.until_ended(job, BLENDER_S)
        assert ended["state"] == "completed", ended
        await program.until_ended(job)
        assert {row["peer"] for row in program.frames(job)} == {peer.id}
        assert program.ask("GET", f"/api/v1/jobs/{job}/frames/2").body.startswith(b"\x89PNG")


async def test_one_peer_with_two_versions_renders_each_job_with_its_own(mesh, tmp_path):
    """Named by the job, or nearest at or above the file's; both stay open side by side."""
    if set(scenes.homes()) != {"bpy", "program"}:
        pytest.skip("only one home has a Blender here")
    old, new = (scenes.build("quick", tmp_path / home, home) for home in ("program", "bpy"))
    programs = str(Path(shutil.which("blender") or "").parent)
    peer = await mesh.start("peer", "--renderer", "bpy", "--blender", programs, renderer="blender")
    await wait_until(lambda: len(peer.get(f"/peers/{peer.id}")["capabilities"]) == 2, BLENDER_S)
    able = {one["home"]: ".".join(one["version"].split(".")[:2]) for one in peer.get(f"/peers/{peer.id}")["capabilities"]}
    jobs = [
        (peer.submit(old, frames="1-3"), able["program"]),
        (peer.submit(new, frames="1-3"), able["bpy"]),
        (peer.submit(old, frames="1-3", blender=able["bpy"]), able["bpy"]),
    ]
    for job, version in jobs:
        ended = await peer.until_ended(job, BLENDER_S)
        assert (ended["state"], ".".join(ended["blender"].split(".")[:2])) == ("completed", version), ended


async def test_files_beside_the_scene_travel_under_their_names(mesh, tmp_path):
    """With its texture the scene is not held, and a thief renders it just as the owner does."""
    scene = scenes.build("with_asset", tmp_path / "scene", scenes.any_home())
    owner = await mesh.start("owner", "--slots", "0", renderer="")
    thief = await mesh.start("thief", renderer="")
    await mesh.together([thief])
    done = mesh.peerctl(owner, "submit", str(scene), "--asset", str(scene.parent / "textures"), "-f", "1-2", "--wait")
    assert done.returncode == 0, done.stderr
    [job] = owner.get("/jobs")["jobs"]
    rows = owner.frames(job["id"])
    assert {row["peer"] for row in rows} == {thief.id}
    scenes.run_blender(scenes.any_home(), ALONE, str(scene), str(tmp_path / "alone"), "2")
    assert rows[1]["pixel_hash"] == pixel_hash(tmp_path / "alone" / "0002.png")


async def test_settings_of_the_job_reach_blender(mesh: Mesh, tmp_path):
    scene = scenes.build("quick", tmp_path / "scene", scenes.any_home())
    [peer] = await mesh.start_many("alone", renderer="")
    job = peer.submit(scene, frames="5", resolution="200x100", samples=1, format="OPEN_EXR", name="wide")
    assert (await peer.until_ended(job, BLENDER_S))["state"] == "completed"
    [output] = peer.get(f"/jobs/{job}/frames/5/outputs")["outputs"]
    assert (output["width"], output["height"], output["format"]) == (200, 100, "OPEN_EXR")
    answer = peer.ask("GET", f"/api/v1/jobs/{job}/frames/5")
    assert answer.body[:4] == b"\x76\x2f\x31\x01", "an OpenEXR file begins so"
    assert "Saved" in peer.ask("GET", f"/api/v1/jobs/{job}/frames/5/log").text
