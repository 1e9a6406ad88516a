from __future__ import annotations

import json
from pathlib import Path

import pytest

from peer.render.driver import listing
from tests.scenes import build as scenes

pytestmark = pytest.mark.blender


@pytest.mark.parametrize("home", scenes.homes())
def test_a_blender_lists_what_a_scene_uses_and_what_is_its_own(home, tmp_path):
    scene = scenes.build("with_asset", tmp_path, home)
    answer = tmp_path / "answer.json"
    scenes.run_blender(home, Path(listing.__file__), str(scene), str(answer))
    found = json.loads(answer.read_text())
    assert found["references"] == [
        {"kind": "image", "label": "wood.png", "raw": "//textures/wood.png", "folder": str(tmp_path), "pick": "file",
         "names": [], "needed": True},
    ]  # fmt: skip
    assert found["paths"] == [str(tmp_path / "textures" / "wood.png")]
    assert found["own"]


def test_a_scene_that_does_not_open_has_no_list(tmp_path):
    scene = scenes.build("not_blend", tmp_path, scenes.any_home())
    with pytest.raises(AssertionError, match="exit"):
        scenes.run_blender(scenes.any_home(), Path(listing.__file__), str(scene), str(tmp_path / "answer.json"))
    assert not (tmp_path / "answer.json").exists()
