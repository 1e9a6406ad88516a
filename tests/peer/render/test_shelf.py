from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from peer.ports import RenderFailed
from peer.render.shelf import Shelf, nearest, version_of
from protocol.jobs.results import Capabilities
from protocol.jobs.spec import JobSpec, render_settings
from tests.fakes.workbench import FakeRenderer

VERSIONS = ("3.4.1", "4.2.0", "5.0.1")


@pytest.fixture
def blenders() -> dict[str, FakeRenderer]:
    return {version: FakeRenderer() for version in VERSIONS}


@pytest.fixture
def shelf(blenders: dict[str, FakeRenderer]) -> Shelf:
    return Shelf([(one, Capabilities("blender", version, "built", "program")) for version, one in blenders.items()])


def saved_by(folder: Path, version: str) -> str:
    """A scene with the header and the blocks of a file that this version has saved; its name."""
    blocks = b"".join(struct.pack("<4siQii", code, 0, 0, 0, 0) for code in (b"DNA1", b"ENDB"))
    (folder / "scene.blend").write_bytes(b"BLENDER-v" + version.encode() + blocks)
    return "scene.blend"


def chosen(blenders: dict[str, FakeRenderer]) -> list[str]:
    return [version for version, one in blenders.items() if one.looking or one.opened]


@pytest.mark.parametrize(("saved", "version"), [("279", "3.4.1"), ("304", "3.4.1"), ("305", "4.2.0"), ("403", "5.0.1")])
async def test_a_scene_is_looked_at_by_the_nearest_version_at_or_above_its_own(
    saved: str, version: str, shelf: Shelf, blenders: dict[str, FakeRenderer], tmp_path: Path
):
    await shelf.inspect(tmp_path, saved_by(tmp_path, saved), render_settings(JobSpec()))
    assert chosen(blenders) == [version]


async def test_the_version_of_the_job_opens_the_scene(shelf: Shelf, blenders: dict[str, FakeRenderer], tmp_path: Path):
    settings = render_settings(JobSpec(), blender="5.0")
    await shelf.open(tmp_path, saved_by(tmp_path, "304"), settings, frame_timeout_s=7.0)
    assert chosen(blenders) == ["5.0.1"]
    assert blenders["5.0.1"].opened == [(tmp_path, "scene.blend", settings, 7.0)]


async def test_a_version_that_is_not_there_costs_the_frame_no_attempt(shelf: Shelf, tmp_path: Path):
    settings = render_settings(JobSpec(blender="4.5"))
    with pytest.raises(RenderFailed, match=re.escape("no Blender 4.5; it has 3.4, 4.2, 5.0")) as caught:
        await shelf.open(tmp_path, "scene.blend", settings)
    assert caught.value.failure.kind == "infrastructure"
    error = (await shelf.inspect(tmp_path, "scene.blend", settings)).error
    assert error == caught.value.failure


async def test_what_is_no_scene_is_shown_to_the_newest_which_says_why(
    shelf: Shelf, blenders: dict[str, FakeRenderer], tmp_path: Path
):
    (tmp_path / "scene.blend").write_bytes(b"not a scene")
    for name in ("scene.blend", "gone.blend"):
        await shelf.inspect(tmp_path, name, render_settings(JobSpec()))
    assert chosen(blenders) == ["5.0.1"]


async def test_all_are_closed_together(shelf: Shelf, blenders: dict[str, FakeRenderer]):
    await shelf.close()
    assert all(one.closed for one in blenders.values())
    assert (await shelf.probe()).renderer == shelf.name == "blender"


def test_a_scene_of_a_newer_version_goes_to_the_newest():
    assert nearest([(3, 4), (4, 2)], (5, 0)) == (4, 2)
    assert nearest([(4, 2), (3, 4)], None) == (4, 2)


def test_what_is_no_version_is_the_least():
    assert version_of(Capabilities("blender", "unknown", "", "program")) == (0, 0)
