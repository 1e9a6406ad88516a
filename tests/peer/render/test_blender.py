from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys

import pytest

from peer.ports import RendererMissing, RenderFailed
from peer.render import platform
from peer.render.blender import LIBRARIES, BlenderOptions, BlenderRenderer, driver_command, missing_text, scene_key
from protocol.jobs.spec import RenderSettings
from tests.peer.render.pictures import nothing

pytestmark = pytest.mark.asyncio(loop_scope="session")
blender = pytest.mark.blender


async def simple(renderer, kitchen, **settings):
    return await renderer.open(kitchen.scenes, "simple.blend", RenderSettings(**settings))


@blender
async def test_a_closed_session_leaves_a_warm_process_for_the_next_scene(own, kitchen, attempt):
    renderer = own()
    first = await simple(renderer, kitchen)
    pid = first.pid
    await first.render(1, attempt(), nothing)
    await first.close()
    second = await renderer.open(kitchen.scenes, "choices.blend", RenderSettings())
    assert second.pid == pid
    await second.close()


@blender
async def test_the_same_scene_with_the_same_settings_is_not_opened_again(own, kitchen, monkeypatch):
    from peer.render.process import DriverProcess

    asked: list[str] = []
    ask = DriverProcess.ask

    async def listen(self, command, **more):
        asked.append(command["do"])
        return await ask(self, command, **more)

    monkeypatch.setattr(DriverProcess, "ask", listen)
    renderer = own()
    assert (await renderer.inspect(kitchen.scenes, "simple.blend", RenderSettings())).error is None
    for samples in (None, None, 2, None):
        await (await simple(renderer, kitchen, samples=samples)).close()
    assert asked == ["inspect", "open", "open"]


@blender
async def test_two_sessions_at_once_have_two_processes_and_one_stays_warm(own, kitchen, attempt):
    renderer = own(slots=1)
    one, two = await simple(renderer, kitchen), await simple(renderer, kitchen)
    assert one.pid != two.pid
    await asyncio.gather(one.render(1, attempt(), nothing), two.render(2, attempt(), nothing))
    await one.close()
    await two.close()
    assert platform.born_at(one.pid) is not None
    assert platform.born_at(two.pid) is None


@blender
async def test_a_process_that_has_grown_is_not_kept(own, kitchen):
    renderer = own(recycle_bytes=1)
    session = await simple(renderer, kitchen)
    await session.close()
    assert platform.born_at(session.pid) is None


@blender
async def test_a_blender_that_was_exchanged_under_a_running_peer_renders_nothing(own, kitchen, monkeypatch):
    """Jobs are matched with the version that was probed: a process of another one is not used."""
    renderer = own(slots=0)
    probed = (await renderer.probe()).version
    monkeypatch.setattr(renderer, "_version", "1.80.0")
    with pytest.raises(RenderFailed, match=f"Blender {probed} has taken the place of 1.80.0") as refused:
        await simple(renderer, kitchen)
    assert refused.value.failure.kind == "renderer"
    assert not renderer._all


@blender
async def test_close_ends_every_process(own, kitchen, attempt):
    renderer = own()
    session = await renderer.open(kitchen.scenes, "slow.blend", RenderSettings())
    frame = asyncio.create_task(session.render(1, attempt(), nothing))
    idle = await simple(renderer, kitchen)
    await idle.close()
    await renderer.close()
    assert platform.born_at(session.pid) is None
    assert platform.born_at(idle.pid) is None
    with pytest.raises(RenderFailed):
        await frame
    with pytest.raises(RenderFailed, match="closed"):
        await simple(renderer, kitchen)


@blender
async def test_prewarm_saves_the_next_scene_the_start(own, kitchen):
    renderer = own()
    await renderer.prewarm()
    await renderer.prewarm()
    (process,) = renderer._idle
    session = await simple(renderer, kitchen)
    assert session.pid == process.pid
    await session.close()


@blender
async def test_a_warm_process_that_died_meanwhile_is_replaced(own, kitchen, attempt):
    renderer = own()
    await renderer.prewarm()
    (process,) = renderer._idle
    platform.signal_group(process.pid, kill=True)
    await process._tasks[-1]
    session = await simple(renderer, kitchen)
    assert (await session.render(1, attempt(), nothing)).files
    await session.close()


@blender
async def test_a_closed_session_renders_no_more(own, kitchen, attempt):
    session = await simple(own(), kitchen)
    await session.close()
    await session.close()
    with pytest.raises(RenderFailed, match="closed"):
        await session.render(1, attempt(), nothing)


@pytest.fixture
def orphan():
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    yield child
    child.kill()
    child.wait()


@blender
async def test_a_probe_ends_what_a_crashed_daemon_left_behind(own, orphan):
    renderer = own()
    folder = renderer._options.registry_dir
    born = platform.born_at(orphan.pid)
    entry = {"pid": orphan.pid, "born": born, "folder": str(folder / "none"), "daemon": orphan.pid, "daemon_born": 1.0}
    (folder / f"{orphan.pid}.json").write_text(json.dumps(entry))
    await renderer.probe()
    assert await asyncio.to_thread(orphan.wait, 10) < 0


async def test_missing_libraries_are_named_with_the_line_that_installs_them(tmp_path):
    """The dynamic loader's own words, out of a program that behaves like Blender without them."""
    program = tmp_path / "blender"
    text = "error while loading shared libraries: libSM.so.6: cannot open shared object file: No such file or directory"
    program.write_text(f"#!/bin/sh\necho 'blender: {text}' >&2\nexit 127\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    renderer = BlenderRenderer((str(program),), "program", BlenderOptions(tmp_path / "s", tmp_path / "p", os.environ))
    with pytest.raises(RendererMissing) as caught:
        await renderer.probe()
    assert "libSM.so.6" in str(caught.value)
    assert f"apt-get install -y {LIBRARIES}" in str(caught.value)
    with pytest.raises(RendererMissing):
        await renderer.inspect(tmp_path, "x.blend", RenderSettings())
    with pytest.raises(RenderFailed) as failed:
        await renderer.open(tmp_path, "x.blend", RenderSettings())
    assert failed.value.failure.kind == "renderer"
    await renderer.close()


async def test_each_reason_has_its_remedy():
    assert "pip install 'rendermesh[blender]'" in missing_text("No module named 'bpy'", "bpy")
    assert LIBRARIES in missing_text("libGL.so.1: cannot open shared object file: No such file or directory", "bpy")
    assert "exec format error" in missing_text("one\ntwo\nthree\nexec format error", "program")


async def test_values_of_jobs_stand_in_no_command_line():
    assert driver_command(("blender",), "program")[:4] == ("blender", "-b", "--factory-startup", "--disable-autoexec")
    assert driver_command(("python3",), "bpy")[:2] == ("python3", "-I")


async def test_a_scene_is_the_same_only_with_the_same_bytes_and_settings(tmp_path):
    (tmp_path / "a.blend").write_text("x")
    key = await scene_key(tmp_path, "a.blend", RenderSettings())
    assert key == await scene_key(tmp_path, "a.blend", RenderSettings())
    assert key != await scene_key(tmp_path, "a.blend", RenderSettings(samples=2))
    (tmp_path / "a.blend").write_text("xy")
    assert key != await scene_key(tmp_path, "a.blend", RenderSettings())
    assert await scene_key(tmp_path, "b.blend", RenderSettings()) is None
