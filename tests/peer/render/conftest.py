from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from peer.render.blender import BlenderOptions, BlenderRenderer, BlenderSession, Home
from protocol.jobs.spec import RenderSettings

SCENES = Path(__file__).with_name("scenes.py")
FACTORY = ("-b", "--factory-startup", "--python-exit-code", "17", "-P", str(SCENES), "--")


@dataclass(frozen=True)
class Kitchen:
    """One Blender in one home, with scenes saved by itself."""

    home: Home
    command: tuple[str, ...]
    scenes: Path

    def options(self, folder: Path, **more) -> BlenderOptions:
        return BlenderOptions(scratch_dir=folder / "scratch", registry_dir=folder / "pids", environ=os.environ, **more)

    def renderer(self, folder: Path, **more) -> BlenderRenderer:
        return BlenderRenderer(self.command, self.home, self.options(folder, **more))


def blender_or_skip(home: Home) -> tuple[str, ...]:
    """The command of that home. Without one: a skip, under CI a failure."""
    command: tuple[str, ...] | None
    if home == "bpy":
        command = (sys.executable,) if importlib.util.find_spec("bpy") is not None else None
    else:
        program = shutil.which("blender")
        command = (program,) if program is not None else None
    if command is None:
        text = f"no Blender of the home {home!r} is installed"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    return command


@pytest.fixture(scope="session", params=["program", "bpy"])
def kitchen(request, tmp_path_factory) -> Kitchen:
    home: Home = request.param
    command = blender_or_skip(home)
    folder = tmp_path_factory.mktemp(f"scenes-{home}")
    build = [*command, *(FACTORY if home == "program" else (str(SCENES), "--")), str(folder)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    whole = (folder / "simple.blend").read_bytes()
    (folder / "truncated.blend").write_bytes(whole[: len(whole) // 2])
    (folder / "text.blend").write_text("this is not a scene\n" * 10)
    (folder / "tex").mkdir()
    (folder / "tex" / "there.png").write_bytes(b"any file will do: nobody opens it")
    return Kitchen(home, command, folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def warm(kitchen: Kitchen, tmp_path_factory):
    """One renderer for all tests that leave it as they found it."""
    renderer = kitchen.renderer(tmp_path_factory.mktemp(f"warm-{kitchen.home}"))
    yield renderer
    await renderer.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def capabilities(warm: BlenderRenderer):
    return await warm.probe()


@pytest_asyncio.fixture(loop_scope="session")
async def own(kitchen: Kitchen, tmp_path: Path):
    """Makes renderers of the test's own, with options; closes them."""
    made: list[BlenderRenderer] = []

    def make(**more) -> BlenderRenderer:
        made.append(kitchen.renderer(tmp_path / f"own{len(made)}", **more))
        return made[-1]

    yield make
    for renderer in made:
        await renderer.close()


@pytest_asyncio.fixture(loop_scope="session")
async def opened(warm: BlenderRenderer, kitchen: Kitchen):
    """Opens one of the scenes in the warm renderer: `await opened("simple", samples=2)`."""
    sessions: list[BlenderSession] = []

    async def open_scene(name: str, **settings) -> BlenderSession:
        session = await warm.open(kitchen.scenes, f"{name}.blend", RenderSettings(**settings))
        sessions.append(session)
        return session

    yield open_scene
    for session in sessions:
        await session.close()


@pytest.fixture
def attempt(tmp_path: Path) -> Callable[[], Path]:
    """Makes private folders of attempts."""
    count = iter(range(1000))

    def make() -> Path:
        folder = tmp_path / f"attempt{next(count)}"
        folder.mkdir()
        return folder

    return make
