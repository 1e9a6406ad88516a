from __future__ import annotations

import pytest

from peer.render.driver.pathmap import MAP_NAME, PathMap, to_json
from protocol.jobs.spec import RenderSettings

pytestmark = [pytest.mark.blender, pytest.mark.asyncio(loop_scope="session")]


def tree(folder, kitchen, paths, *names):
    """A job's folder: `missing.blend`, files of these names, and the map."""
    for name in (MAP_NAME, *names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / MAP_NAME).write_bytes(paths if isinstance(paths, bytes) else to_json(paths))
    (folder / "missing.blend").symlink_to(kitchen.scenes / "missing.blend")
    return folder


async def missed(warm, folder):
    found = await warm.inspect(folder, "missing.blend", RenderSettings())
    assert found.error is None, found.error
    return {warning.text.rsplit(": ", 1)[1] for warning in found.warnings}


async def test_what_was_sent_from_elsewhere_is_found(warm, kitchen, tmp_path):
    paths = PathMap("/show/shot", (("/nowhere", ".rendermesh/files/0"),))
    folder = tree(tmp_path, kitchen, paths, ".rendermesh/files/0/far.png", "tex/wood.png")
    left = {"//lib/props.blend", "//tex/skin.1001.png", "//tex/smoke0001.png", "//fonts/face.ttf", "//tex/there.png"}
    assert await missed(warm, folder) == left


async def test_an_absolute_path_below_the_artists_folder_is_found_beside_the_scene(warm, kitchen, tmp_path):
    assert "/nowhere/far.png" not in await missed(warm, tree(tmp_path, kitchen, PathMap("/nowhere"), "far.png"))


async def test_windows_does_not_tell_cases_apart(warm, kitchen, tmp_path):
    folder = tree(tmp_path, kitchen, PathMap("C:/show"), "TEX/Wood.PNG", "Fonts/face.TTF", "TEX/skin.1001.png")
    assert await missed(warm, folder) == {"//lib/props.blend", "//tex/smoke0001.png", "//tex/there.png", "/nowhere/far.png"}


async def test_what_was_not_sent_stays_missing_under_its_own_path(warm, kitchen, tmp_path):
    paths = PathMap("/show/shot", (("/nowhere", ".rendermesh/files/0"),))
    assert "/nowhere/far.png" in await missed(warm, tree(tmp_path, kitchen, paths))


async def test_no_map_leads_out_of_the_jobs_folder(warm, kitchen, tmp_path):
    (tmp_path / "far.png").write_bytes(b"x")
    job = tree(tmp_path / "job", kitchen, PathMap("/nowhere/deep/down"))
    assert "/nowhere/far.png" in await missed(warm, job)


async def test_a_bad_map_breaks_the_scene_and_says_why(warm, kitchen, tmp_path):
    found = await warm.inspect(tree(tmp_path, kitchen, b"{}"), "missing.blend", RenderSettings())
    assert found.error is not None
    assert found.error.kind == "scene"
    assert "paths.json cannot be followed: its version must be 1" in found.error.reason
