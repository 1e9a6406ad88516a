"""The demo's scene as `./scripts/demo` makes it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from peer.render.blendfile import read_header
from tests.scenes import build as scenes

pytestmark = pytest.mark.blender


def test_the_script_saves_a_scene_where_it_is_told(tmp_path):
    path = tmp_path / "demo.blend"
    scenes.run_blender(scenes.any_home(), scenes.DEMO, str(path))
    header = read_header(path)
    assert header.compressed == "zstd"
    assert header.blocks > 100


def test_without_a_place_it_says_how_it_is_used():
    if "bpy" not in scenes.homes():
        pytest.skip("the script is started with the module bpy here")
    done = subprocess.run([sys.executable, str(scenes.DEMO)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "usage: demo_scene.py OUT.blend" in done.stderr
