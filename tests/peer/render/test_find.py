from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from peer.ports import RenderFailed
from peer.render.blender import BlenderOptions, BlenderRenderer
from peer.render.builtin import NULL
from peer.render.find import check_choices, find_renderers
from peer.render.null import NullRenderer
from peer.render.plugins import PORT, Installed, Plugin, Surroundings
from peer.render.shelf import Shelf
from protocol.errors import Invalid
from protocol.jobs.results import Capabilities, Failure


@pytest.fixture
def options(tmp_path):
    return BlenderOptions(tmp_path / "scratch", tmp_path / "pids", os.environ)


WORDS = ("blender", "bpy", "null")
NOTHING = Surroundings(which=lambda name, path: None, has_bpy=lambda: False)
BOTH = Surroundings(which=lambda name, path: f"/usr/bin/{name}", has_bpy=lambda: True)


def test_no_choice_is_auto_and_each_counts_once():
    assert check_choices([], WORDS) == ["auto"]
    assert check_choices(["null", "blender", "null"], WORDS) == ["null", "blender"]


def test_an_unknown_renderer_is_refused_with_those_there_are():
    with pytest.raises(Invalid, match="'maya' is unknown; choose one of auto, blender, bpy, null"):
        check_choices(["maya"], WORDS)


async def test_without_any_blender_the_peer_learns_both_remedies(options):
    found = await find_renderers([], options, NOTHING)
    assert found.renderers == ()
    (text,) = found.missing
    assert text.startswith("blender: ")
    assert "pip install 'rendermesh[blender]'" in text
    assert "apt-get install -y blender" in text


async def test_auto_never_means_null(options):
    assert (await find_renderers([], options, NOTHING)).renderers == ()
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


def installed(**plugins: Plugin) -> Installed:
    return Installed(plugins, {"broken": "the plug-in of nobody cannot be loaded"})


async def test_a_broken_plugin_is_a_reason_and_the_others_work(options):
    quiet = await find_renderers([], options, NOTHING, installed(null=replace(NULL, sought="quietly")))
    assert [renderer.name for renderer, _ in quiet.renderers] == ["null"]
    assert (quiet.missing, quiet.absent) == ((), ("broken: the plug-in of nobody cannot be loaded",))
    named = await find_renderers(["broken", "null"], options, NOTHING, installed(null=NULL))
    assert [renderer.name for renderer, _ in named.renderers] == ["null"]
    assert named.missing == ("broken: the plug-in of nobody cannot be loaded",)


async def test_what_nobody_asked_for_is_absent_and_not_missing(options):
    plugin = Plugin(PORT, "arnold", lambda options, around, named: [["there is no program 'kick'"]])
    found = await find_renderers([], options, NOTHING, installed(arnold=plugin))
    assert (found.missing, found.absent[:1]) == ((), ("arnold: there is no program 'kick'",))
    found = await find_renderers(["arnold"], options, NOTHING, installed(arnold=plugin))
    assert (found.missing, found.absent) == (("arnold: there is no program 'kick'",), ())


@pytest.mark.parametrize("where", ["candidates", "probe"])
async def test_a_plugin_that_raises_whatever_it_likes_ends_nothing(options, where):
    closed: list[str] = []

    class Broken(NullRenderer):
        async def probe(self):
            raise ZeroDivisionError("by nothing")

        async def close(self):
            closed.append(self.name)

    def look(options, around, named):
        if where == "candidates":
            raise ZeroDivisionError("by nothing")
        return [[Broken()]]

    found = await find_renderers(["odd", "null"], options, NOTHING, installed(odd=Plugin(PORT, "null", look), null=NULL))
    assert [renderer.name for renderer, _ in found.renderers] == ["null"]
    assert found.missing == ("odd: the plug-in itself failed (ZeroDivisionError: by nothing); mend or remove its package",)
    assert closed == (["null"] if where == "probe" else [])


async def test_an_installation_without_any_entry_point_says_how_to_mend_that(options):
    found = await find_renderers([], options, NOTHING, Installed({}))
    assert "install rendermesh again" in found.missing[0]
