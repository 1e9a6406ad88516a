from __future__ import annotations

import os
from dataclasses import replace

import pytest

from peer.render.blender import BlenderRenderer
from peer.render.builtin import BLENDER, BPY, NULL, blenders, check_blend, named_programs
from peer.render.options import RendererOptions
from peer.render.plugins import PORT, Surroundings
from protocol.errors import Invalid

NOTHING = Surroundings(which=lambda name, path: None, has_bpy=lambda: False)
BOTH = Surroundings(which=lambda name, path: f"/usr/bin/{name}", has_bpy=lambda: True)


@pytest.fixture
def options(tmp_path):
    return RendererOptions(tmp_path / "scratch", tmp_path / "pids", os.environ)


def test_all_speak_the_version_of_the_port_that_this_peer_has():
    assert {plugin.port for plugin in (BLENDER, BPY, NULL)} == {PORT}


def test_only_blender_is_missed_where_nothing_is_named():
    assert [plugin.sought for plugin in (BLENDER, BPY, NULL)] == ["always", "named", "named"]


def test_a_file_that_is_no_blend_is_refused(tmp_path):
    (tmp_path / "text.blend").write_text("no scene")
    with pytest.raises(Invalid):
        check_blend(tmp_path / "text.blend", ["5.0.1"])


def test_auto_prefers_the_module(options):
    [found] = blenders(options, BOTH, False)
    assert [renderer.home for renderer in found if isinstance(renderer, BlenderRenderer)] == ["bpy", "program"]


def test_a_named_program_is_asked_for_by_its_path(options, tmp_path):
    asked: list[str] = []

    def which(name: str, path: str | None) -> str | None:
        asked.append(name)
        return None

    [[text]] = blenders(options, Surroundings((tmp_path / "blender-4.5" / "blender",), which), True)
    assert asked == [str(tmp_path / "blender-4.5" / "blender")]
    assert isinstance(text, str)
    assert str(tmp_path) in text


def test_a_folder_holds_blenders_of_several_versions(tmp_path):
    for place in ("blender-4.2.1-linux-x64", "blender-5.0.0-linux-x64", "notes"):
        (tmp_path / place).mkdir()
    programs = [tmp_path / place / "blender" for place in ("blender-4.2.1-linux-x64", "blender-5.0.0-linux-x64")]
    for program in programs:
        program.touch()
    assert named_programs([tmp_path]) == programs
    assert named_programs([tmp_path / "blender-4.2.1-linux-x64", tmp_path]) == programs
    assert named_programs([programs[0], programs[0]]) == programs[:1]
    assert named_programs([tmp_path / "notes", tmp_path / "gone"]) == [tmp_path / "notes", tmp_path / "gone"], "named as missing"


def test_auto_is_the_module_and_every_program_that_is_named(options, tmp_path):
    named = (tmp_path / "a", tmp_path / "b")
    both = blenders(options, replace(BOTH, programs=named), False)
    assert [[renderer.home for renderer in one if isinstance(renderer, BlenderRenderer)] for one in both] == [
        ["bpy"], ["program"], ["program"],
    ]  # fmt: skip
    alone = blenders(options, replace(NOTHING, programs=named), False)
    assert [str(tmp_path) in str(one[0]) for one in alone] == [True, True], "nobody asked for the module"
