from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import pytest_asyncio

from peer.ports import RendererMissing, RenderFailed
from peer.render import platform
from peer.render.blender import BlenderRenderer
from peer.render.process import DriverProcess, Launch, environment
from peer.render.registry import ProcessRegistry
from protocol.jobs.spec import RenderSettings
from tests.peer.render.pictures import nothing
from tests.waiting import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="session")
blender = pytest.mark.blender


async def failures(*renders) -> list[str]:
    """The failure classes of renders that must all fail."""
    results = await asyncio.gather(*renders, return_exceptions=True)
    assert all(isinstance(result, RenderFailed) for result in results), results
    return [result.failure.kind for result in results if isinstance(result, RenderFailed)]


async def two_slow_frames(session, attempt) -> list[asyncio.Task]:
    """One frame in the middle of rendering, one that waits behind it."""
    tasks = [asyncio.create_task(session.render(frame, attempt(), nothing)) for frame in (1, 2)]
    await wait_until(lambda: session._process._requests.running is not None)
    return tasks


async def slow(renderer: BlenderRenderer, kitchen, **more):
    return await renderer.open(kitchen.scenes, "slow.blend", RenderSettings(), **more)


@blender
async def test_killed_in_mid_frame_is_a_crash_of_that_frame_alone(own, kitchen, attempt):
    renderer = own()
    session = await slow(renderer, kitchen)
    tasks = await two_slow_frames(session, attempt)
    os.kill(session.pid, signal.SIGKILL)
    assert await failures(*tasks) == ["crash", "infrastructure"]
    assert await failures(session.render(3, attempt(), nothing)) == ["infrastructure"]
    await session.close()
    again = await renderer.open(kitchen.scenes, "simple.blend", RenderSettings())
    assert (await again.render(1, attempt(), nothing)).files
    await again.close()


@blender
async def test_a_process_that_stands_still_is_stalled(own, kitchen, attempt):
    session = await slow(own(stall_s=2.0), kitchen)
    tasks = await two_slow_frames(session, attempt)
    os.kill(session.pid, signal.SIGSTOP)
    assert await failures(*tasks) == ["stalled", "infrastructure"]
    assert not session._process.alive


@blender
async def test_work_without_reports_is_no_stall_and_the_frame_clock_ends_it(own, kitchen, attempt):
    """Cycles reports every 15 s at best; CPU time tells that it works. The clock of the second frame never began."""
    session = await slow(own(stall_s=2.0), kitchen, frame_timeout_s=7.0)  # a busy machine may hold it up for a moment
    tasks = await two_slow_frames(session, attempt)
    assert await failures(*tasks) == ["timeout", "infrastructure"]


@blender
async def test_stop_ends_the_group_and_leaves_nothing(own, kitchen, attempt):
    renderer = own()
    session = await slow(renderer, kitchen)
    tasks = await two_slow_frames(session, attempt)
    pid, temporary = session.pid, session._process._temporary
    assert temporary.is_dir()
    await session.stop()
    assert await failures(*tasks) == ["infrastructure", "infrastructure"]
    assert platform.born_at(pid) is None
    assert not temporary.exists()
    assert list(renderer._options.registry_dir.iterdir()) == []


@blender
async def test_a_stopped_process_stops_too(own, kitchen, attempt):
    """SIGTERM does not reach a process that stands still; SIGKILL does."""
    session = await slow(own(), kitchen)
    tasks = await two_slow_frames(session, attempt)
    os.kill(session.pid, signal.SIGSTOP)
    await session.stop()
    assert await failures(*tasks) == ["infrastructure", "infrastructure"]


@blender
async def test_too_little_memory_is_a_class_of_its_own(own, kitchen, attempt):
    session = await own(memory_bytes=1000 * 2**20).open(kitchen.scenes, "huge.blend", RenderSettings())
    with pytest.raises(RenderFailed) as caught:
        await session.render(1, attempt(), nothing)
    assert caught.value.failure.kind == "memory"
    assert "returns null" in caught.value.log


@blender
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="this platform does not show environments")
async def test_a_renderer_sees_none_of_the_variables_that_change_pixels(kitchen, tmp_path):
    evil = {"OCIO": "/x", "BLENDER_USER_SCRIPTS": "/x", "CYCLES_OPENCL_TEST": "1", "PYTHONPATH": "/x", "PEER_MESH_KEY": "secret"}
    options = kitchen.options(tmp_path)
    renderer = BlenderRenderer(
        kitchen.command, kitchen.home, type(options)(options.scratch_dir, options.registry_dir, {**os.environ, **evil})
    )
    await renderer.prewarm()
    (process,) = renderer._idle
    seen = dict(entry.split("=", 1) for entry in Path(f"/proc/{process.pid}/environ").read_text().split("\0") if entry)
    await renderer.close()
    assert not [name for name in seen if name.startswith(("OCIO", "BLENDER_", "CYCLES_", "PYTHON", "PEER_"))]
    assert Path(seen["HOME"]).is_relative_to(tmp_path)


DAEMON = """
import asyncio, json, os, sys
from pathlib import Path
from peer.render.blender import BlenderOptions, BlenderRenderer
from protocol.jobs.spec import RenderSettings

async def main(home, command, scenes, folder):
    options = BlenderOptions(folder / "scratch", folder / "pids", os.environ)
    session = await BlenderRenderer(tuple(command), home, options).open(scenes, "slow.blend", RenderSettings())
    print(session.pid, flush=True)
    await session.render(1, folder, lambda progress: None)

asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])))
"""


@pytest.fixture
def daemon(kitchen, tmp_path):
    """A daemon of its own that renders a slow frame."""
    arguments = [kitchen.home, json.dumps(kitchen.command), str(kitchen.scenes), str(tmp_path)]
    root = Path(__file__).parents[3]
    child = subprocess.Popen([sys.executable, "-c", DAEMON, *arguments], stdout=subprocess.PIPE, cwd=root)
    yield child
    child.kill()
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


@blender
async def test_no_renderer_survives_its_daemon(daemon, tmp_path):
    pid = int(await asyncio.to_thread(daemon.stdout.readline))
    assert platform.born_at(pid) is not None
    daemon.kill()
    await wait_until(lambda: platform.born_at(pid) is None)
    registry = ProcessRegistry(tmp_path / "pids")
    await asyncio.to_thread(daemon.wait)
    assert registry.reap() == []
    assert list((tmp_path / "pids").iterdir()) == []
    assert list((tmp_path / "scratch" / "tmp").iterdir()) == []


async def test_the_environment_is_an_allow_list(tmp_path):
    seen = environment(
        {"PATH": "/bin", "OCIO": "x", "LANG": "C", "HOME": "/root"}, home=tmp_path, temporary=tmp_path / "t", cache=tmp_path / "c"
    )
    assert seen["PATH"] == "/bin"
    assert seen["HOME"] == str(tmp_path)
    assert seen["TMPDIR"] == str(tmp_path / "t")
    assert seen["XDG_CACHE_HOME"] == str(tmp_path / "c")
    assert "OCIO" not in seen


FAKE = """
import json, os, sys
commands, reports, token = int(sys.argv[-3]), int(sys.argv[-2]), sys.argv[-1]
send = lambda **report: os.write(reports, json.dumps(report).encode() + b"\\n")
"""


@pytest_asyncio.fixture(loop_scope="session")
async def fake(tmp_path):
    """A process whose driver is a few lines of the test's own."""
    started: list[DriverProcess] = []

    async def start(code: str, **more) -> tuple[DriverProcess, str]:
        launch = Launch(
            (sys.executable, "-c", FAKE + code), os.environ, tmp_path / "scratch", ProcessRegistry(tmp_path / "pids"), **more
        )
        started.append(DriverProcess(launch))
        return started[-1], await started[-1].start()

    yield start
    for process in started:
        await process.stop()


async def test_a_driver_that_talks_nonsense_is_not_listened_to(fake):
    process, problem = await fake("os.write(reports, b'hello\\n'); import signal; signal.pause()")
    assert "does not speak our language" in problem
    assert not process.alive


async def test_a_line_without_end_is_not_waited_for(fake):
    _, problem = await fake("os.write(reports, b'x' * 60_000); sys.exit(3)")
    assert "exit code 3" in problem


async def test_what_was_printed_before_the_end_is_the_problem(fake):
    process, problem = await fake("print('libSM.so.6: cannot open shared object file'); sys.exit(127)")
    assert "libSM.so.6" in problem
    with pytest.raises(RenderFailed, match="has ended"):
        await process.ask({"do": "hello"})


async def test_a_command_beyond_the_limit_is_refused_before_it_is_sent(fake):
    process, problem = await fake("send(event='ready', version='1.0.0'); import signal; signal.pause()")
    assert problem == ""
    with pytest.raises(RenderFailed, match="longer than the driver accepts"):
        await process.ask({"do": "x" * 2_000_000})
    assert not process.busy


async def test_a_log_that_never_ends_in_a_mark_does_not_hold_the_answer_for_ever(fake):
    code = """
send(event='ready', version='1.0.0')
os.read(commands, 9999)
send(id=1, event='began')
send(id=1, event='done', result={'x': 1})
os.read(commands, 9999)
"""
    process, _ = await fake(code)
    assert (await process.ask({"do": "hello"})).result == {"x": 1}


async def test_a_flood_of_output_is_read_and_bounded(fake):
    code = """
send(event='ready', version='1.0.0')
os.read(commands, 9999)
send(id=1, event='began')
for _ in range(5_000): print('x' * 1_000)
sys.stdout.flush(); os.write(1, f'\\n\\x1e{token} 1\\n'.encode())
send(id=1, event='done', result={})
os.read(commands, 9999)
"""
    process, _ = await fake(code)
    assert 100_000 < len((await process.ask({"do": "hello"})).log) < 300_000


async def test_an_answer_in_the_last_moment_of_a_process_counts(fake):
    code = """
send(event='ready', version='1.0.0')
os.read(commands, 9999)
send(id=1, event='began')
send(id=1, event='done', result={'x': 2})
sys.exit(0)
"""
    process, _ = await fake(code)
    assert (await process.ask({"do": "hello"})).result == {"x": 2}


async def test_a_process_that_cannot_be_started_is_missing(tmp_path):
    from peer.render.blender import BlenderOptions

    renderer = BlenderRenderer(("/nowhere/blender",), "program", BlenderOptions(tmp_path / "s", tmp_path / "p", os.environ))
    with pytest.raises(RendererMissing, match="cannot start /nowhere/blender"):
        await renderer.prewarm()
    await renderer.close()
