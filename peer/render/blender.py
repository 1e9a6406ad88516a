"""Blender as a renderer, in either home: warm processes, a small pool of idle ones, sessions on top.

Decides which process opens a scene and when one is recycled. Refuses to know Blender's own API: that is the driver's.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from peer.ports import RendererMissing, RenderFailed
from peer.render import loadlog, platform, reports
from peer.render.colours import configuration, without
from peer.render.options import RendererOptions
from peer.render.process import DriverProcess, Launch
from peer.render.registry import ProcessRegistry
from peer.render.sandbox import Reach, interpreter
from peer.render.session import DriverSession
from protocol import limits
from protocol.jobs.results import Capabilities, Failure, Inspection
from protocol.jobs.spec import RenderSettings

Home = Literal["program", "bpy"]

DRIVER: Final = Path(__file__).with_name("driver") / "main.py"
LIBRARIES: Final = "libx11-6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libice6 libgl1"
"""Debian's packages with the shared libraries that `bpy` wants and a bare system lacks."""

_LIBRARY = re.compile(r"(lib[\w+.-]+\.so(?:\.\d+)*): cannot open shared object file")

log = structlog.get_logger(__name__)


BlenderOptions = RendererOptions
BlenderSession = DriverSession


class BlenderRenderer:
    """A `Renderer` (see `peer.ports`) over one Blender. `command` is the program, or the Python that has `bpy`.

    Invariants: every process that it started is in the registry, and ends with `close`; an idle process has no command
    under way; scenes never run their scripts, so that a process may open one after the other; every process is of the
    version that was probed.
    """

    def __init__(self, command: tuple[str, ...], home: Home, options: BlenderOptions) -> None:
        self.name = "blender"
        self.home: Home = home
        self._options = options
        self._registry = ProcessRegistry(options.registry_dir)
        if home == "program" and options.sandbox.level != "none":
            command = (os.path.realpath(command[0]), *command[1:])  # what its folder holds is shown to it, links elsewhere not
        self._turn = 0
        self._launch = Launch(
            command=driver_command(command, home),
            environ=options.environ,
            scratch=options.scratch_dir,
            registry=self._registry,
            memory_bytes=options.memory_bytes,
            stall_s=options.stall_s,
            sandbox=options.sandbox,
            run=programs(command, home),
            read=options.read,
        )
        self._idle: list[DriverProcess] = []
        self._all: set[DriverProcess] = set()
        self._closed = False
        self._version: str | None = None

    async def probe(self) -> Capabilities:
        """See `Renderer.probe`. Also ends what a crashed daemon left behind. The process stays, warm."""
        for pid in await asyncio.to_thread(self._registry.reap):
            log.warning("ended a renderer that a crashed daemon left behind", pid=pid)
        process = await self._take(None)
        self._version = process.version
        hello = (await process.ask({"do": "hello"})).result
        await self._give_back(process)
        able = reports.capabilities(hello, self.name, self.home)
        if not await self._has_graphics():
            able = replace(able, engines=tuple(name for name in able.engines if name == "CYCLES"))
        return able

    async def prewarm(self) -> None:
        """Have one idle process ready, so that the next scene opens without a process start. Raises `RendererMissing`."""
        if not self._idle:
            await self._give_back(await self._take(None))

    async def inspect(self, tree: Path, main: str, settings: RenderSettings) -> Inspection:
        """See `Renderer.inspect`. Raises `RendererMissing`."""
        key = await scene_key(tree, main, settings)
        try:
            process = await self._take(key, await asyncio.to_thread(configuration, tree, settings))
        except RenderFailed as error:
            return Inspection(error=error.failure)
        try:
            answer = await process.ask({"do": "inspect", **_scene(tree, main, settings)})
        except RenderFailed as error:
            await self._discard(process)
            return Inspection(error=error.failure)
        except BaseException:
            await self._discard(process)
            raise
        inspection = loadlog.with_findings(reports.inspection(answer.result), answer.log, settings)
        if "scene" not in answer.result:
            await self._discard(process)  # nothing that follows a failed open is to be trusted
        else:
            process.opened = key
            await self._give_back(process)
        return inspection

    async def open(
        self, tree: Path, main: str, settings: RenderSettings, *, frame_timeout_s: float | None = None
    ) -> BlenderSession:
        """See `Renderer.open`. A process that has this very scene open with these settings goes on with it."""
        key = await scene_key(tree, main, settings)
        ocio = await asyncio.to_thread(configuration, tree, settings)
        try:
            process = await self._take(key, ocio)
        except RendererMissing as error:
            raise RenderFailed(Failure("renderer", str(error))) from error
        if key is None or process.opened != key:
            process.opened = None
            try:
                await process.ask({"do": "open", **_scene(tree, main, settings)})
            except BaseException:
                await self._discard(process)
                raise
            process.opened = key
        return BlenderSession(process, self._release, frame_timeout_s)

    async def close(self) -> None:
        """See `Renderer.close`."""
        self._closed = True
        self._idle.clear()
        async with asyncio.TaskGroup() as group:
            for process in list(self._all):
                group.create_task(self._discard(process))

    async def _take(self, key: object, ocio: Path | None = None) -> DriverProcess:
        """An idle process of that OCIO configuration, best the one with that scene open; else a new one, for which another may
        have to end. Raises `RendererMissing`."""
        for process in [process for process in self._idle if not process.alive]:
            self._idle.remove(process)
            await self._discard(process)
        fit = [process for process in self._idle if process.ocio == ocio]
        if fit:
            same = [process for process in fit if key is not None and process.opened == key]
            process = (same or fit)[0]
            self._idle.remove(process)
            return process
        if len(self._idle) >= self._options.slots > 0:
            await self._discard(self._idle.pop(0))
        return await self._start(ocio)

    async def _start(self, ocio: Path | None = None) -> DriverProcess:
        if self._closed:
            raise RendererMissing("the renderer is closed")
        objection = self._launch.sandbox.objection(Reach(run=self._launch.run))
        if objection:
            raise RendererMissing(objection)
        self._turn += 1
        process = DriverProcess(replace(self._launch, cpus=platform.cpu_share(self._options.cpus, self._turn), ocio=ocio))
        self._all.add(process)
        try:
            problem = await process.start()
            if not problem and ocio is not None:
                await process.ask({"do": "hello"})  # what it says of its own first scene is not said of the job's
        except RenderFailed as error:
            problem = error.failure.reason
        except BaseException:
            await self._discard(process)
            raise
        if problem:
            self._all.discard(process)
            raise RendererMissing(missing_text(problem, self.home))
        if self._version not in (None, process.version):
            await self._discard(process)
            raise RendererMissing(f"Blender {process.version} has taken the place of {self._version}, which was probed here")
        return process

    async def _give_back(self, process: DriverProcess) -> None:
        """Keep a process warm when there is room for it and it has not grown too big."""
        fits = process.alive and not process.busy and len(self._idle) < self._options.slots and not self._closed
        if fits and await asyncio.to_thread(platform.resident_bytes, process.pid) <= self._options.recycle_bytes:
            self._idle.append(process)
        else:
            await self._discard(process)

    async def _release(self, process: DriverProcess, reuse: bool) -> None:
        if reuse:
            await self._give_back(process)
        else:
            await self._discard(process)

    async def _discard(self, process: DriverProcess) -> None:
        await process.stop()
        self._all.discard(process)

    async def _has_graphics(self) -> bool:
        """Try it in a process of its own: one that has no graphics context may die of the attempt."""
        process = await self._start()
        try:
            folder = str(process.outbox())
            answer = await process.ask({"do": "try", "folder": folder}, timeout_s=limits.RENDERER_START_S_MAX)
            return bool(answer.result.get("graphics"))
        except RenderFailed:
            return False
        finally:
            await self._discard(process)


def driver_command(command: tuple[str, ...], home: Home) -> tuple[str, ...]:
    """The command line that starts the driver: values of jobs never stand in it."""
    match home:
        case "program":
            quiet = ("-b", "--factory-startup", "--disable-autoexec", "--python-exit-code", "17", "-noaudio")
            return (*command, *quiet, "-P", str(DRIVER))
        case "bpy":
            return (*(command or (sys.executable,)), "-I", str(DRIVER))


def programs(command: tuple[str, ...], home: Home) -> tuple[Path, ...]:
    """The folders that a renderer and its driver run from, beyond the system's own."""
    match home:
        case "program":
            return (DRIVER.parent, Path(command[0]).parent)
        case "bpy":
            spec = importlib.util.find_spec("bpy")
            module = (Path(spec.origin).parent,) if spec is not None and spec.origin is not None else ()
            return (DRIVER.parent, *interpreter(), *module)


async def scene_key(tree: Path, main: str, settings: RenderSettings) -> object:
    """What two sessions must share to share an opened scene: names, settings, and the main file as it lies there now.

    None when there is no such file: nothing is shared then.
    """
    path = tree / main
    try:
        status = await asyncio.to_thread(path.stat)
    except OSError:
        return None
    return (str(tree), main, settings.model_dump_json(exclude={"blender"}), status.st_ino, status.st_size, status.st_mtime_ns)


def missing_text(problem: str, home: Home) -> str:
    """Why a renderer does not start, and the line that mends it."""
    library = _LIBRARY.search(problem)
    if library is not None:
        return f"Blender lacks the shared library {library[1]}; as root: apt-get install -y {LIBRARIES}"
    if home == "bpy" and "No module named 'bpy'" in problem:
        return "the module bpy is not installed beside this Python; pip install 'rendermesh[blender]'"
    last = " / ".join(problem.strip().splitlines()[-3:])[: limits.REASON_CHARS_MAX]
    return f"Blender does not start: {last}"


def _scene(tree: Path, main: str, settings: RenderSettings) -> dict[str, Any]:
    return {"tree": str(tree), "main": main, "settings": without(settings).model_dump(mode="json", exclude={"blender"})}
