"""Scenes that use files from everywhere: `peerctl submit` takes them along, and peers render what the artist sees."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from peer.render.verify_child import pixel_hash
from tests.e2e.mesh import Mesh
from tests.scenes import build as scenes

pytestmark = pytest.mark.blender
ALONE = Path(__file__).with_name("alone.py")
SHOT = Path(__file__).parents[1] / "scenes" / "shot.py"
HOMES = {"bpy": "bpy", "program": "blender"}


@pytest.fixture(params=["bpy", "program"])
def home(request) -> scenes.Home:
    if request.param not in scenes.homes():
        scenes.any_home()
        pytest.skip(f"another home has a Blender here, {request.param} has none")
    return request.param


def rendered_in_place(home: scenes.Home, folder: Path) -> dict[int, str]:
    """Make the show; the pixels of its frames, rendered where it lies."""
    scenes.run_blender(home, SHOT, str(folder))
    scenes.run_blender(home, ALONE, str(folder / "show" / "twin" / "castle.blend"), str(folder / "alone"), "8")
    return {frame: pixel_hash(folder / "alone" / f"{frame:04d}.png") for frame in range(1, 9)}


async def test_a_scene_with_files_from_everywhere_is_rendered_as_in_its_place(mesh: Mesh, home, tmp_path):
    """Parent folder, absolute path, path of Windows, tiles, sequence, library of a library, Alembic, volume, baked cloth.

    The show is gone from its place when the peers begin: what they find, they were sent."""
    show = tmp_path / "artist"
    alone = rendered_in_place(home, show)
    owner = await mesh.start("owner", "--slots", "0", renderer=HOMES[home])
    thief = await mesh.start("thief", renderer=HOMES[home])
    await mesh.together([thief])
    rule = f"C:\\show={show / 'drive'}"
    scene = show / "show" / "shot" / "castle.blend"
    sent = mesh.peerctl(owner, "submit", str(scene), "--map", rule, "-f", "1-8", "--threads", "1", "-o", "name")
    assert sent.returncode == 0, sent.stderr
    assert "missing" not in sent.stderr
    shutil.move(show, tmp_path / "elsewhere")
    job = await owner.until_ended(sent.stdout.strip())
    assert job["state"] == "completed", job
    rows = owner.frames(job["id"])
    assert {row["peer"] for row in rows} == {thief.id}
    assert {row["frame"]: row["pixel_hash"] for row in rows} == alone
    assert len(set(alone.values())) == 8, "sequence and cloth move"


async def test_what_is_missing_is_named_before_the_upload_and_the_job_is_held(mesh: Mesh, home, tmp_path):
    scenes.run_blender(home, SHOT, str(tmp_path / "artist"))
    scene = tmp_path / "artist" / "show" / "shot" / "castle.blend"
    (tmp_path / "artist" / "far away" / "floor.png").unlink()
    [peer] = await mesh.start_many("alone", renderer=HOMES[home])
    sent = mesh.peerctl(peer, "submit", str(scene), "-f", "1", "-o", "name")
    assert sent.returncode == 0, sent.stderr
    assert "missing image 'floor.png': " in sent.stderr
    assert "missing image 'Roof.png': C:" in sent.stderr
    job = await peer.until_ended(sent.stdout.strip())
    assert job["state"] == "held"
    assert {row["code"] for row in job["held_because"]} == {"missing_image"}
    assert len(job["held_because"]) == 2
