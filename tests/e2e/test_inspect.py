"""`peerctl inspect`: a scene is looked at by a Blender of the mesh, wherever that is, and no job is made of it."""

from __future__ import annotations

import json

import pytest

from tests.e2e.mesh import Mesh
from tests.scenes import build as scenes

pytestmark = pytest.mark.blender


async def test_a_peer_without_blender_lets_another_look_and_findings_come_back_with_remedies(mesh: Mesh, tmp_path):
    plain = await mesh.start("plain", renderer="null")
    able = await mesh.start("able", renderer="")
    await mesh.together([plain, able])
    scene = scenes.build("missing_texture", tmp_path / "scene", scenes.any_home())
    for peer in (plain, able):
        done = mesh.peerctl(peer, "inspect", str(scene), "--json", "--no-assets")
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)
        assert (seen["scene"], seen["camera"], seen["frame_end"], seen["width"]) == ("Scene", "Camera", 48, 320)
        [finding] = seen["warnings"]
        assert (finding["code"], finding["kind"]) == ("missing_image", "picture")
        assert "textures/wood.png" in finding["remedy"]
        assert peer.get("/jobs")["jobs"] == []


async def test_a_scene_that_cannot_be_rendered_ends_with_10_and_the_reason(mesh: Mesh, tmp_path):
    [peer] = await mesh.start_many("able", renderer="")
    scene = scenes.build("no_camera", tmp_path / "scene", scenes.any_home())
    done = mesh.peerctl(peer, "inspect", str(scene))
    assert done.returncode == 10, done.stderr
    assert "no camera" in done.stdout
