"""Hostile scenes in a real Blender: what they can do without a sandbox, and inside one; and a renderer's own ways there."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from peer.ports import RendererMissing, RenderFailed
from peer.render.blender import DRIVER, BlenderRenderer
from peer.render.registry import ProcessRegistry
from peer.render.sandbox import Sandbox, find_sandbox
from protocol.jobs.spec import RenderSettings
from tests.peer.render.pictures import nothing
from tests.waiting import wait_until

HOSTILE = Path(__file__).parents[2] / "scenes" / "hostile.py"
TRUSTING = Path(__file__).with_name("trusting_driver.py")
CONFINED = ("bwrap", "landlock")
VICTIM = """
import signal
signal.signal(signal.SIGUSR1, lambda *_: print("hit", flush=True))
print("up", flush=True)
while True: signal.pause()
"""

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.blender,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandboxes are Linux's own"),
]
real = pytest.mark.sandbox


async def working(level, folder: Path) -> Sandbox:
    """That level, or a skip: under CI a failure."""
    folder.mkdir(parents=True, exist_ok=True)
    found = await find_sandbox(level, folder, None)
    if found.level != level:
        pytest.skip(f"no {level} here: {found.why}")
    return found


@dataclass
class Target:
    """What a hostile scene aims at: a data folder, doors on this machine, and another process of this account."""

    data: Path
    outside: Path
    doors: dict[str, socket.socket]
    victim: subprocess.Popen[bytes]

    def aim(self) -> dict[str, object]:
        doors = {name: self.doors[name].getsockname()[1] for name in ("tcp", "udp")}
        places = {"data": str(self.data), "outside": str(self.outside), "secret": str(self.data / "identity.key")}
        return {**doors, **places, "unix": str(self.outside / "door"), "abstract": self.abstract, "pid": self.victim.pid}

    @property
    def abstract(self) -> str:
        return f"rendermesh-test-{os.getpid()}"

    def heard(self) -> set[str]:
        """The doors that anything came to."""
        found = set()
        for name, door in self.doors.items():
            door.setblocking(False)
            try:
                door.recv(16) if name == "udp" else door.accept()[0].close()
            except BlockingIOError:
                continue
            found.add(name)
        return found


@pytest.fixture
def target(tmp_path) -> Iterator[Target]:
    data, outside = tmp_path / "data", tmp_path / "outside"
    for folder in (data, data / "trees" / "scene", outside):
        folder.mkdir(parents=True)
    (data / "identity.key").write_text("the secret of this peer")
    (data / "identity.key").chmod(0o600)
    doors = {"tcp": socket.create_server(("127.0.0.1", 0)), "udp": socket.socket(socket.AF_INET, socket.SOCK_DGRAM)}
    doors["udp"].bind(("127.0.0.1", 0))
    doors |= {name: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for name in ("unix", "abstract")}
    victim = subprocess.Popen([sys.executable, "-c", VICTIM], stdout=subprocess.PIPE)
    assert victim.stdout is not None
    victim.stdout.readline()
    made = Target(data, outside, doors, victim)
    doors["unix"].bind(str(outside / "door"))
    doors["abstract"].bind("\0" + made.abstract)
    for name in ("unix", "abstract"):
        doors[name].listen()
    yield made
    victim.kill()
    victim.wait()
    victim.stdout.close()
    for door in doors.values():
        door.close()


@pytest.fixture(scope="session")
def hostile(kitchen, tmp_path_factory) -> Path:
    """The scene, saved by that very Blender."""
    scene = tmp_path_factory.mktemp("hostile") / "hostile.blend"
    start = ("-b", "--factory-startup", "--python-exit-code", "17", "-P") if kitchen.home == "program" else ()
    command = [*kitchen.command, *start, str(HOSTILE), "--", str(scene)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return scene


@pytest_asyncio.fixture(loop_scope="session")
async def confined(kitchen):
    """Makes renderers inside a level whose data folder is `data`; they trust scenes when told to."""
    made: list[BlenderRenderer] = []

    async def make(level, data: Path, *, trusting: bool = False, **more) -> BlenderRenderer:
        walls = await working(level, data)
        options = kitchen.options(data, sandbox=walls, read=(data / "trees", kitchen.scenes), **more)
        made.append(BlenderRenderer(kitchen.command, kitchen.home, options))
        if trusting:
            launch = made[-1]._launch
            command = tuple(str(TRUSTING) if part == str(DRIVER) else part for part in launch.command)
            made[-1]._launch = replace(launch, command=command, run=(*launch.run, TRUSTING))
        return made[-1]

    yield make
    for renderer in made:
        await renderer.close()


async def attack(renderer: BlenderRenderer, target: Target, hostile: Path, attempt) -> dict[str, list[str]]:
    """What the scene says that its script and its driver could do."""
    tree = target.data / "trees" / "scene"
    shutil.copy(hostile, tree)
    (tree / "params.json").write_text(json.dumps(target.aim()))
    session = await renderer.open(tree, "hostile.blend", RenderSettings())
    opening = {"do": "open", "tree": str(tree), "main": "hostile.blend", "settings": RenderSettings().model_dump(mode="json")}
    logs = [(await session.render(1, attempt(), nothing)).log, (await session._process.ask(opening)).log]
    await session.close()
    rows = [line.split(" ", 2)[1:] for log in logs for line in log.splitlines() if line.startswith("HOSTILE ")]
    return {who: json.loads(done) for who, done in rows}


EVERYTHING = [
    "write outside",
    "write beside the scene",
    "read the identity",
    "list the data folder",
    "open the key to everybody",
    "connect by TCP",
    "send by UDP",
    "connect to a socket file",
    "connect to an abstract socket",
    "signal another process",
    "read its environment",
]


@real
async def test_without_a_sandbox_a_hostile_scene_does_what_it_wants(confined, target, hostile, attempt):
    done = await attack(await confined("none", target.data, trusting=True), target, hostile, attempt)
    assert done == {"script": EVERYTHING, "driver": EVERYTHING}
    assert target.heard() == {"tcp", "udp", "unix", "abstract"}
    assert (target.outside / "script").exists()
    assert (target.outside / "driver").exists()


@real
@pytest.mark.parametrize("level", CONFINED)
async def test_in_a_sandbox_a_hostile_scene_writes_reads_and_reaches_nothing(confined, target, hostile, attempt, level):
    done = await attack(await confined(level, target.data, trusting=True), target, hostile, attempt)
    assert done == {"script": [], "driver": []}
    assert target.heard() == set()
    assert [path.name for path in target.outside.iterdir()] == ["door"]
    assert (target.data / "identity.key").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (target.data / "trees" / "scene").iterdir()) == ["hostile.blend", "params.json"]


async def test_a_hostile_scene_never_runs_its_scripts_in_the_product(kitchen, target, hostile, attempt, tmp_path):
    renderer = kitchen.renderer(tmp_path / "own")
    assert await attack(renderer, target, hostile, attempt) == {}
    await renderer.close()
    assert target.heard() == set()


# the renderer's own ways, inside a level


@real
@pytest.mark.parametrize("level", CONFINED)
async def test_a_scene_too_big_for_memory_fails_with_that_class_alone(confined, kitchen, tmp_path, attempt, level):
    renderer = await confined(level, tmp_path, memory_bytes=1000 * 2**20)
    session = await renderer.open(kitchen.scenes, "huge.blend", RenderSettings())
    with pytest.raises(RenderFailed) as caught:
        await session.render(1, attempt(), nothing)
    await session.close()
    assert caught.value.failure.kind == "memory"
    session = await renderer.open(kitchen.scenes, "simple.blend", RenderSettings())
    assert (await session.render(1, attempt(), nothing)).files
    await session.close()


@real
@pytest.mark.parametrize("level", CONFINED)
async def test_one_process_opens_many_trees_and_dies_of_a_signal(confined, kitchen, tmp_path, attempt, level):
    renderer = await confined(level, tmp_path)
    tree = tmp_path / "trees" / "later"
    tree.parent.mkdir()
    pids = []
    await renderer.prewarm()
    tree.mkdir()  # laid out after the process was started
    shutil.copy(kitchen.scenes / "simple.blend", tree)
    for folder, name in ((kitchen.scenes, "simple.blend"), (tree, "simple.blend")):
        session = await renderer.open(folder, name, RenderSettings())
        assert (await session.render(1, attempt(), nothing)).files
        pids.append(session.pid)
        await session.close()
    assert pids[0] == pids[1]
    session = await renderer.open(kitchen.scenes, "slow.blend", RenderSettings())
    task = asyncio.create_task(session.render(1, attempt(), nothing))
    await wait_until(lambda: session._process._requests.running is not None)
    os.kill(session.pid, signal.SIGKILL)
    with pytest.raises(RenderFailed, match="signal SIGKILL"):
        await task
    await session.close()


async def slow_frame(renderer: BlenderRenderer, kitchen, attempt) -> tuple[asyncio.Task, list[psutil.Process]]:
    """A frame in the middle of rendering, and the processes that it takes: the renderer itself is the last one."""
    session = await renderer.open(kitchen.scenes, "slow.blend", RenderSettings())
    task = asyncio.create_task(session.render(1, attempt(), nothing))
    await wait_until(lambda: session._process._requests.running is not None)
    outer = psutil.Process(session.pid)
    return task, [outer, *outer.children(recursive=True)]


@real
@pytest.mark.parametrize("level", CONFINED)
async def test_a_renderer_that_stands_still_is_stalled_and_gone(confined, kitchen, tmp_path, attempt, level):
    """Under bwrap the process that the daemon has started only waits for the one that renders."""
    renderer = await confined(level, tmp_path, stall_s=2.0)
    task, processes = await slow_frame(renderer, kitchen, attempt)
    assert len(processes) == (3 if level == "bwrap" else 1)
    processes[-1].suspend()
    with pytest.raises(RenderFailed) as caught:
        await task
    assert caught.value.failure.kind == "stalled"
    await wait_until(lambda: not any(process.is_running() for process in processes))
    await wait_until(lambda: list((tmp_path / "scratch" / "tmp").iterdir()) == [])


@real
@pytest.mark.parametrize("level", CONFINED)
async def test_a_renderer_that_works_in_silence_is_not_stalled(confined, kitchen, tmp_path, attempt, level):
    """Its processor time is seen through the walls; the clock of the frame ends it."""
    renderer = await confined(level, tmp_path, stall_s=2.0)
    session = await renderer.open(kitchen.scenes, "slow.blend", RenderSettings(), frame_timeout_s=7.0)
    with pytest.raises(RenderFailed) as caught:
        await session.render(1, attempt(), nothing)
    assert caught.value.failure.kind == "timeout"


@real
@pytest.mark.parametrize("level", CONFINED)
async def test_a_stopped_renderer_stops_too(confined, kitchen, tmp_path, attempt, level):
    renderer = await confined(level, tmp_path)
    task, processes = await slow_frame(renderer, kitchen, attempt)
    processes[-1].suspend()
    await renderer.close()
    with pytest.raises(RenderFailed):
        await task
    await wait_until(lambda: not any(process.is_running() for process in processes))
    assert list((tmp_path / "pids").iterdir()) == []


DAEMON = """
import asyncio, json, os, sys
from pathlib import Path
import psutil
from peer.render.blender import BlenderOptions, BlenderRenderer
from peer.render.sandbox import find_sandbox
from protocol.jobs.spec import RenderSettings

async def main(home, command, scenes, folder, level):
    walls = await find_sandbox(level, folder, None)
    options = BlenderOptions(folder / "scratch", folder / "pids", os.environ, sandbox=walls, read=(scenes,))
    session = await BlenderRenderer(tuple(command), home, options).open(scenes, "slow.blend", RenderSettings())
    outer = psutil.Process(session.pid)
    print(json.dumps([process.pid for process in (outer, *outer.children(recursive=True))]), flush=True)
    await session.render(1, folder / "attempt", lambda progress: None)

asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5]))
"""


@real
@pytest.mark.parametrize("level", CONFINED)
async def test_nothing_of_a_confined_renderer_survives_its_daemon(kitchen, tmp_path, level):
    await working(level, tmp_path)
    arguments = (kitchen.home, json.dumps(kitchen.command), str(kitchen.scenes), str(tmp_path), level)
    command = (sys.executable, "-c", DAEMON, *arguments)
    daemon = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    assert daemon.stdout is not None
    processes = [psutil.Process(pid) for pid in json.loads(await daemon.stdout.readline())]
    assert all(process.is_running() for process in processes)
    daemon.kill()
    await daemon.wait()
    await wait_until(lambda: not any(process.is_running() for process in processes))
    assert ProcessRegistry(tmp_path / "pids").reap() == []
    assert [list((tmp_path / name).iterdir()) for name in ("pids", "scratch/tmp")] == [[], []]


async def test_a_blender_whose_folder_holds_the_data_folder_is_missing(kitchen, tmp_path):
    options = kitchen.options(tmp_path / "data", sandbox=Sandbox("landlock", hides=tmp_path / "data"))
    renderer = BlenderRenderer((str(tmp_path / "blender"),), "program", options)
    with pytest.raises(RendererMissing, match="move it to a folder of its own"):
        await renderer.prewarm()
