from __future__ import annotations

import pytest

from protocol.jobs.spec import RenderSettings

pytestmark = [pytest.mark.blender, pytest.mark.asyncio(loop_scope="session")]


async def look(warm, kitchen, name, **settings):
    return await warm.inspect(kitchen.scenes, f"{name}.blend", RenderSettings(**settings))


async def test_says_what_a_scene_is(warm, kitchen):
    found = await look(warm, kitchen, "simple")
    assert found.error is None
    assert (found.scene, found.camera, found.engine, found.format) == ("Scene", "Camera", "CYCLES", "PNG")
    assert (found.frame_start, found.frame_end, found.frame_step, found.fps) == (1, 4, 1, 24.0)
    assert (found.width, found.height) == (64, 36)
    assert found.warnings == ()
    assert found.blender.count(".") == 2


async def test_a_scene_without_a_camera_is_an_error(warm, kitchen):
    found = await look(warm, kitchen, "no_camera")
    assert found.error is not None
    assert found.error.kind == "scene"
    assert "no camera" in found.error.reason


async def test_refused_drivers_touch_the_picture_and_refused_scripts_do_not(warm, kitchen):
    found = await look(warm, kitchen, "refused")
    assert sorted((warning.code, warning.kind) for warning in found.warnings) == [
        ("refused_driver", "picture"),
        ("refused_script", "info"),
    ]
    assert "getpid" in found.warnings[0].text
    assert not (kitchen.scenes / "ran").exists()


async def test_a_missing_denoiser_touches_the_picture(warm, kitchen, capabilities):
    found = await look(warm, kitchen, "denoised")
    assert [warning.code for warning in found.warnings] == ([] if capabilities.oidn else ["no_denoiser"])


async def test_what_makes_renders_differ_is_said_and_holds_nothing(warm, kitchen):
    found = await look(warm, kitchen, "timed")
    said = [(warning.kind, warning.text) for warning in found.warnings if warning.code == "not_comparable"]
    assert [kind for kind, _ in said] == ["info", "info"]
    assert "60 s" in said[0][1]
    assert "date" in said[1][1]


async def test_a_scene_without_a_layer_to_render_touches_the_picture(warm, kitchen):
    found = await look(warm, kitchen, "timed")
    assert [warning.code for warning in found.warnings if warning.kind == "picture"] == ["no_view_layer"]
    found = await look(warm, kitchen, "timed", view_layer="ViewLayer")
    assert [warning.code for warning in found.warnings if warning.kind == "picture"] == []


async def test_notes_what_an_override_drops(warm, kitchen):
    found = await look(warm, kitchen, "simple", format="JPEG")
    assert any("alpha" in note for note in found.notes)
    assert found.format == "JPEG"
    video = await look(warm, kitchen, "video")
    assert any("video" in note for note in video.notes)


async def test_a_setting_that_cannot_be_honoured_is_the_scenes_error(warm, kitchen):
    found = await look(warm, kitchen, "simple", camera="Nobody")
    assert found.error is not None
    assert "'Nobody'" in found.error.reason
