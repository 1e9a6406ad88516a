"""The scenes are what they say, seen by the Blender that made them and by a render."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from peer.render.blendfile import read_header
from peer.render.verify_child import Expected, examine
from protocol.errors import Invalid
from tests.scenes import build as scenes

LOOK = Path(__file__).with_name("look.py")
pytestmark = pytest.mark.blender


@pytest.fixture(params=["bpy", "program"])
def home(request) -> scenes.Home:
    if request.param not in scenes.homes():
        scenes.any_home()
        pytest.skip(f"another home has a Blender here, {request.param} has none")
    return request.param


def look(path: Path, home: scenes.Home, *frames: str) -> dict:
    """What Blender sees in the scene; renders `frames` beside it, one file each."""
    answer = path.with_name("seen.json")
    scenes.run_blender(home, LOOK, str(path), str(answer), *frames)
    return json.loads(answer.read_text())


@pytest.mark.parametrize("name", scenes.MADE_BY_BLENDER)
def test_a_made_scene_is_whole_and_opens(name, home, tmp_path):
    path = scenes.build(name, tmp_path, home)
    assert read_header(path).blocks > 10
    seen = look(path, home)
    assert seen["frames"] == [1, 48]
    assert seen["camera"] == ("" if name == "no_camera" else "Camera")
    assert seen["video"] is (name == "video_output")
    assert seen["views"] == (["left", "right"] if name == "stereo" else [])
    assert seen["missing"] == (["//textures/wood.png"] if name == "missing_texture" else [])
    assert seen["output_nodes"] == (1 if name == "file_output" else 0)
    assert seen["samples"] == {"animated": 8, "heavy": 1_000_000}.get(name, 4)


def test_frames_of_the_quick_scene_differ_and_repeat(home, tmp_path):
    path = scenes.build("quick", tmp_path, home)
    look(path, home, "1", "24", "1")
    first, other, again = (examine(tmp_path / f"look{index}_{frame:04}.png") for index, frame in enumerate((1, 24, 1)))
    assert first.pixel_hash == again.pixel_hash != other.pixel_hash


def test_the_animated_scene_renders_something_to_look_at(home, tmp_path):
    import OpenImageIO as oiio

    path = scenes.build("animated", tmp_path, home)
    look(path, home, "1", "48")
    for index, frame in enumerate((1, 48)):
        picture = tmp_path / f"look{index}_{frame:04}.png"
        examine(picture, Expected(320, 180, 3, "PNG"))
        pixels = oiio.ImageBuf(str(picture)).get_pixels(oiio.FLOAT)
        assert pixels is not None
        assert 0.1 < pixels.mean() < 0.9
        assert pixels.std() > 0.1


def test_the_asset_changes_the_picture(home, tmp_path):
    hashes = []
    for name in ("quick", "with_asset"):
        folder = tmp_path / name
        look(scenes.build(name, folder, home), home, "1")
        hashes.append(examine(folder / "look0_0001.png").pixel_hash)
    assert hashes[0] != hashes[1]
    assert (tmp_path / "with_asset" / "textures" / "wood.png").is_file()


@pytest.mark.parametrize(("name", "code"), [("truncated", "truncated_blend"), ("not_blend", "not_a_blend")])
def test_a_broken_scene_is_broken(name, code, home, tmp_path):
    with pytest.raises(Invalid) as caught:
        read_header(scenes.build(name, tmp_path, home))
    assert caught.value.code == code


def test_the_too_new_scene_says_so_and_is_whole_otherwise(home, tmp_path):
    header = read_header(scenes.build("too_new", tmp_path, home))
    assert header.version == (9, 9)
    assert header.blocks > 10


def test_a_scene_is_made_once(home, tmp_path, monkeypatch):
    scenes.build("quick", tmp_path / "one", home)
    monkeypatch.setattr(scenes, "run_blender", lambda *_: pytest.fail("made twice"))
    scenes.build("quick", tmp_path / "two", home)
    assert (tmp_path / "one" / "scene.blend").read_bytes() == (tmp_path / "two" / "scene.blend").read_bytes()


def test_the_names_are_the_makers(home, tmp_path):
    script = tmp_path / "names.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(scenes.MAKE.parent)!r}); import make; print('NAMES', *make.MAKERS)")
    line = next(line for line in scenes.run_blender(home, script).splitlines() if line.startswith("NAMES"))
    assert tuple(line.split()[1:]) == scenes.MADE_BY_BLENDER


def test_blender_stays_out_of_this_process():
    scenes.homes()
    assert "bpy" not in sys.modules
