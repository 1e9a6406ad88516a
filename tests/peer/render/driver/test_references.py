"""Seen through the listing, as `peerctl` sees them: the walk needs a Blender with a scene."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peer.render.driver import listing
from tests.scenes import build as scenes

pytestmark = pytest.mark.blender
SHOT = Path(scenes.__file__).with_name("shot.py")


@pytest.mark.parametrize("home", scenes.homes())
def test_every_kind_of_reference_is_found_with_what_it_stands_for(home, tmp_path):
    scenes.run_blender(home, SHOT, str(tmp_path))
    show, answer = tmp_path / "show", tmp_path / "answer.json"
    scenes.run_blender(home, Path(listing.__file__), str(show / "shot" / "castle.blend"), str(answer))
    found = {
        (row["kind"], row["raw"], row["pick"], Path(row["folder"]).relative_to(show).as_posix())
        for row in json.loads(answer.read_text())["references"]
    }
    wanted = {
        ("library", "//../props/door.blend", "file", "shot"),
        ("image", "//../textures/gate.png", "file", "shot"),
        ("image", "//../plates/plate_0001.png", "series", "shot"),
        ("image", "//../tiles/wall.<UDIM>.png", "tiles", "shot"),
        ("image", f"{tmp_path}/far away/floor.png", "file", "shot"),
        ("image", "//maps/door.png", "file", "props"),
        ("image", "//maps/bolt.png", "file", "parts"),
    }
    assert wanted <= found
    assert any(raw.startswith("C:") for _, raw, _, _ in found)
    assert any(kind == "cache file" for kind, *_ in found) is (show / "caches").is_dir()
    assert any(kind == "volume" for kind, *_ in found) is (show / "volumes").is_dir()
