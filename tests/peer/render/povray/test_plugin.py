from __future__ import annotations

import os

import pytest

from peer.render.options import RendererOptions
from peer.render.plugins import PORT, Surroundings
from peer.render.povray.plugin import POVRAY, check_pov, povrays
from peer.render.povray.renderer import PovrayRenderer
from peer.render.sandbox import Sandbox
from protocol.errors import Invalid

HERE = Surroundings(which=lambda name, path: f"/usr/bin/{name}")
WALLS = Sandbox("landlock")


@pytest.fixture
def options(tmp_path):
    return RendererOptions(tmp_path / "scratch", tmp_path / "pids", os.environ)


def test_nobody_misses_it_where_nobody_asked():
    assert (POVRAY.port, POVRAY.sought, POVRAY.suffixes) == (PORT, "quietly", (".pov", ".ini"))


def test_a_machine_without_it_says_how_to_get_it(options):
    [[text]] = povrays(options, Surroundings(which=lambda name, path: None), False)
    assert "apt-get install -y povray" in str(text)


def test_without_a_sandbox_it_is_for_those_who_name_it(tmp_path, options):
    [[text]] = povrays(options, HERE, False)
    assert "no sandbox" in str(text)
    assert isinstance(povrays(options, HERE, True)[0][0], PovrayRenderer)
    walled = RendererOptions(tmp_path / "scratch", tmp_path / "pids", os.environ, sandbox=WALLS)
    assert isinstance(povrays(walled, HERE, False)[0][0], PovrayRenderer)


@pytest.mark.parametrize("data", [b"#version 3.7;\n", b"\xef\xbb\xbf// B\xc3\xa4ume\n", b"// B\xe4ume\n" * 20])
def test_a_text_in_any_encoding_is_a_scene(tmp_path, data):
    (tmp_path / "a.pov").write_bytes(data)
    check_pov(tmp_path / "a.pov", [])


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n", b"BLENDER-v405", b"PK\x03\x04", b"#version 3.7;\x00", b"<!doctype html>"]
)
def test_what_is_no_text_is_refused_before_anybody_renders(tmp_path, data):
    (tmp_path / "a.pov").write_bytes(data)
    with pytest.raises(Invalid, match="a scene of POV-Ray is a text"):
        check_pov(tmp_path / "a.pov", [])
