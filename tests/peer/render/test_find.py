from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from peer.ports import RenderFailed
from peer.render.blender import BlenderOptions, BlenderRenderer
from peer.render.find import Surroundings, candidates, check_choices, find_renderers, named_programs
from peer.render.null import NullRenderer
from peer.render.shelf import Shelf
from protocol.errors import Invalid
from protocol.jobs.results import Capabilities, Failure


@pytest.fixture
def options(tmp_path):
    return BlenderOptions(tmp_path / "scratch", tmp_path / "pids", os.environ)


NOTHING = Surroundings(which=lambda name, path: None, has_bpy=lambda: False)
BOTH = Surroundings(which=lambda name, path: f"/usr/bin/{name}", has_bpy=lambda: True)


def test_no_choice_is_auto_and_each_counts_once():
    assert check_choices([]) == ["auto"]
    assert check_choices(["null", "blender", "null"]) == ["null", "blender"]


def test_an_unknown_renderer_is_refused_with_those_there_are():
    with pytest.raises(Invalid, match="'maya' is unknown; choose one of auto, blender, bpy, null"):
        check_choices(["maya"])


def test_auto_prefers_the_module(options):
    [found] = candidates("auto", options, BOTH)
    assert [renderer.home for renderer in found if isinstance(renderer, BlenderRenderer)] == ["bpy", "program"]


def test_a_named_program_is_asked_for_by_its_path(options, tmp_path):
    asked: list[str] = []

    def which(name: str, path: str | None) -> str | None:
        asked.append(name)
        return None

    [[text]] = candidates("blender", options, Surroundings((tmp_path / "blender-4.5" / "blender",), which))
    assert asked == [str(tmp_path / "blender-4.5" / "blender")]
    assert isinstance(text, str)
    assert str(tmp_path) in text


async def test_without_any_blender_the_peer_learns_both_remedies(options):
    found = await find_renderers([], options, NOTHING)
    assert found.renderers == ()
    (text,) = found.missing
    assert "pip install 'rendermesh[blender]'" in text
    assert "apt-get install -y blender" in text


async def test_auto_never_means_null(options):
    assert not [entry for entries in candidates("auto", options, BOTH) for entry in entries if isinstance(entry, NullRenderer)]
    found = await find_renderers(["null"], options, NOTHING)
    ((renderer, (capabilities,)),) = found.renderers
    assert (renderer.name, capabilities.home, found.missing) == ("null", "null", ())


async def test_a_candidate_that_does_not_start_makes_room_for_the_next(options):
    """Both are programs that end at once."""
    around = Surroundings(which=lambda name, path: "/bin/false", has_bpy=lambda: False)
    found = await find_renderers(["blender", "null"], options, around)
    assert [renderer.name for renderer, _ in found.renderers] == ["null"]
    assert "Blender does not start" in found.missing[0]


@pytest.mark.parametrize("error", [RenderFailed(Failure("crash", "it died")), OSError("no space left")])
async def test_whatever_a_candidate_dies_of_is_a_reason_and_no_end_of_the_peer(options, monkeypatch, error):
    async def probe(self):
        raise error

    monkeypatch.setattr(BlenderRenderer, "probe", probe)
    found = await find_renderers(["blender", "null"], options, BOTH)
    assert [renderer.name for renderer, _ in found.renderers] == ["null"]
    assert found.missing == (f"blender: {error}",)


async def test_a_candidate_is_closed_when_nobody_waits_for_it_any_more(options, monkeypatch):
    closed: list[str] = []

    async def probe(self):
        raise asyncio.CancelledError

    async def close(self):
        closed.append(self.home)

    monkeypatch.setattr(BlenderRenderer, "probe", probe)
    monkeypatch.setattr(BlenderRenderer, "close", close)
    with pytest.raises(asyncio.CancelledError):
        await find_renderers(["auto"], options, BOTH)
    assert closed == ["bpy"]


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
    both = candidates("auto", options, replace(BOTH, programs=named))
    assert [[renderer.home for renderer in one if isinstance(renderer, BlenderRenderer)] for one in both] == [
        ["bpy"], ["program"], ["program"],
    ]  # fmt: skip
    alone = candidates("auto", options, replace(NOTHING, programs=named))
    assert [str(tmp_path) in str(one[0]) for one in alone] == [True, True], "nobody asked for the module"


@pytest.fixture
def started(monkeypatch) -> list[str]:
    """Blenders whose version stands in their program's name; which of them are not closed."""
    open_ones: list[str] = []

    async def probe(self):
        version = self._launch.command[0].rpartition("-")[2]
        open_ones.append(version)
        return Capabilities("blender", version, "built", "program")

    async def close(self):
        open_ones.remove(self._launch.command[0].rpartition("-")[2])

    monkeypatch.setattr(BlenderRenderer, "probe", probe)
    monkeypatch.setattr(BlenderRenderer, "close", close)
    return open_ones


async def test_several_versions_are_one_renderer_and_a_version_counts_once(options, started):
    which = Surroundings(tuple(Path(f"/opt/blender-{one}") for one in ("4.2.1", "5.0.0", "4.2.9")), lambda name, path: name)
    found = await find_renderers(["blender"], options, replace(which, has_bpy=lambda: False))
    ((renderer, able),) = found.renderers
    assert isinstance(renderer, Shelf)
    assert [one.version for one in able] == ["4.2.1", "5.0.0"]
    assert started == ["4.2.1", "5.0.0"]


async def test_all_are_closed_when_nobody_waits_for_the_last_one_any_more(options, started, monkeypatch):
    probe = BlenderRenderer.probe

    async def probe_or_leave(self):
        if self._launch.command[0].endswith("5.0.0"):
            started.append("5.0.0")
            raise asyncio.CancelledError
        return await probe(self)

    monkeypatch.setattr(BlenderRenderer, "probe", probe_or_leave)
    around = Surroundings((Path("/opt/blender-4.2.1"), Path("/opt/blender-5.0.0")), lambda name, path: name, lambda: False)
    with pytest.raises(asyncio.CancelledError):
        await find_renderers(["blender"], options, around)
    assert started == []


@pytest.mark.blender
async def test_auto_finds_the_blender_of_this_machine(options, kitchen):
    around = Surroundings(
        which=lambda name, path: kitchen.command[0] if kitchen.home == "program" else None, has_bpy=lambda: kitchen.home == "bpy"
    )
    found = await find_renderers(["auto"], options, around)
    ((renderer, (capabilities,)),) = found.renderers
    assert capabilities.home == kitchen.home
    await renderer.close()
    assert "bpy" not in sys.modules
