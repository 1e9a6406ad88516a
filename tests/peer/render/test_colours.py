"""Which OCIO configuration a job has. That Blender uses it, and uses it for that job alone, is shown with a real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from peer.ports import RenderFailed
from peer.render.colours import configuration, without
from peer.render.verify_child import pixel_hash
from protocol.jobs.spec import RenderSettings
from tests.peer.render.pictures import nothing

OCIO = {"ocio": "color/config.ocio"}


def test_it_is_a_file_of_the_scene(tmp_path: Path):
    (tmp_path / "color").mkdir()
    (tmp_path / "color" / "config.ocio").touch()
    assert configuration(tmp_path, RenderSettings(settings=OCIO)) == tmp_path / "color" / "config.ocio"
    assert configuration(tmp_path, RenderSettings()) is None
    assert configuration(tmp_path, RenderSettings(settings={"ocio": None})) is None


@pytest.mark.parametrize(
    "name", ["gone.ocio", "color", "../config.ocio", "/etc/passwd", "C:\\config.ocio", "", 7, ["a"], "ocio://default"]
)
def test_what_is_no_file_of_the_scene_is_refused(tmp_path: Path, name: object):
    (tmp_path / "color").mkdir()
    (tmp_path.parent / "config.ocio").touch()
    with pytest.raises(RenderFailed, match="settings: ocio: ") as caught:
        configuration(tmp_path, RenderSettings(settings={"ocio": name}))
    assert caught.value.failure.kind == "scene"


def test_the_driver_gets_the_other_settings():
    assert without(RenderSettings(settings={**OCIO, "more": 1})) == RenderSettings(settings={"more": 1})


@pytest.mark.blender
@pytest.mark.asyncio(loop_scope="session")
async def test_a_warm_process_keeps_its_configuration_to_itself(own, kitchen, attempt, tmp_path):
    """Plain, own, plain again, on one slot: no picture has anything of the job before it."""
    (tmp_path / "simple.blend").write_bytes((kitchen.scenes / "simple.blend").read_bytes())
    (tmp_path / "color").mkdir()
    (tmp_path / "color" / "config.ocio").write_text(CONFIG)
    renderer = own(slots=1)
    pixels = []
    for settings in ({}, OCIO, {}, OCIO):
        found = await renderer.inspect(tmp_path, "simple.blend", RenderSettings(settings=settings))
        assert found.error is None, found.error
        session = await renderer.open(tmp_path, "simple.blend", RenderSettings(settings=settings))
        rendered = await session.render(1, folder := attempt(), nothing)
        pixels.append(pixel_hash(folder / rendered.files[0].name))
        await session.close()
    assert pixels[0] == pixels[2] != pixels[1] == pixels[3]
    gone = await renderer.inspect(tmp_path, "simple.blend", RenderSettings(settings={"ocio": "gone.ocio"}))
    assert gone.error is not None
    assert "'gone.ocio'" in gone.error.reason


CONFIG = """\
ocio_profile_version: 1
strictparsing: false
roles: {default: Plain, scene_linear: Plain, data: Plain, default_byte: Plain, default_float: Plain, default_sequencer: Plain,
  color_picking: Plain, texture_paint: Plain, aces_interchange: Plain, reference: Plain, compositing_linear: Plain}
displays:
  sRGB:
    - !<View> {name: Standard, colorspace: Plain}
colorspaces:
  - !<ColorSpace> {name: Plain, bitdepth: 32f, isdata: false}
"""
