from __future__ import annotations

import pytest

from protocol.jobs.spec import RenderSettings

pytestmark = [pytest.mark.blender, pytest.mark.asyncio(loop_scope="session")]


async def test_every_missing_file_is_named_with_what_to_do(warm, kitchen):
    found = await warm.inspect(kitchen.scenes, "missing.blend", RenderSettings())
    said = {(warning.code, warning.text.rsplit(": ", 1)[1]) for warning in found.warnings}
    assert said == {
        ("missing_library", "//lib/props.blend"),
        ("missing_image", "//tex/wood.png"),
        ("missing_image", "//tex/skin.1001.png"),
        ("missing_image", "//tex/smoke0001.png"),
        ("missing_image", "/nowhere/far.png"),
        ("missing_font", "//fonts/face.ttf"),
    }
    assert all(warning.kind == "picture" for warning in found.warnings)
    remedies = {warning.text.rsplit(": ", 1)[1]: warning.remedy for warning in found.warnings}
    assert "as an asset part named 'tex/wood.png'" in remedies["//tex/wood.png"]
    assert "pack it into the .blend" in remedies["/nowhere/far.png"]


async def test_files_that_are_sent_beside_the_scene_are_found(warm, kitchen, tmp_path):
    (tmp_path / "shots").mkdir()
    for name in ("tex/wood.png", "tex/there.png", "tex/skin.1001.png", "tex/smoke0004.png", "fonts/face.ttf"):
        (tmp_path / "shots" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "shots" / name).write_bytes(b"x")
    (tmp_path / "shots" / "lib").mkdir()
    (tmp_path / "shots" / "lib" / "props.blend").symlink_to(kitchen.scenes / "simple.blend")
    (tmp_path / "shots" / "main.blend").symlink_to(kitchen.scenes / "missing.blend")
    found = await warm.inspect(tmp_path, "shots/main.blend", RenderSettings())
    assert [warning.text for warning in found.warnings] == ["the image 'far' is missing: /nowhere/far.png"]


async def test_a_remedy_names_the_part_as_seen_from_the_scenes_folder(warm, kitchen, tmp_path):
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "main.blend").symlink_to(kitchen.scenes / "missing.blend")
    found = await warm.inspect(tmp_path, "shots/main.blend", RenderSettings())
    wood = next(warning for warning in found.warnings if "wood" in warning.text)
    assert "'shots/tex/wood.png'" in wood.remedy
