"""POV-Ray as a renderer: a driver per opened scene, which starts one povray per frame; the clocks and walls are everybody's.

Decides which settings a job may have. Refuses to know the scene language and the .ini files: those are the driver's.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from peer.ports import RendererMissing, RenderFailed
from peer.render import platform, reports
from peer.render.options import RendererOptions
from peer.render.process import DriverProcess, Launch
from peer.render.registry import ProcessRegistry
from peer.render.sandbox import Reach, interpreter
from peer.render.session import DriverSession
from protocol import limits
from protocol.jobs.results import Capabilities, Failure, Inspection
from protocol.jobs.spec import RenderSettings

DRIVER: Final = Path(__file__).with_name("driver.py")
GET: Final = "as root: apt-get install -y povray"
PARSE_S_MAX: Final = 86_400.0
_SETTINGS_FOLDERS: Final = (Path("/etc/povray"), Path("/usr/local/etc/povray"))

Number = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,39}$")]
Text = Annotated[str, Field(max_length=1_000, pattern=r"^[^\x00-\x1f]+$")]
Frame = Annotated[int, Field(ge=0, le=limits.FRAME_NUMBER_MAX)]

log = structlog.get_logger(__name__)


class PovraySettings(BaseModel):
    """What `settings` of a job may say. `ini` is a file beside the scene, `section` one of that; frames from `frame_start` to
    `frame_end` are those of the clock, which runs from `clock_start` to `clock_end`; `declare` sets identifiers to numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ini: Text | None = None
    section: Text | None = None
    frame_start: Frame | None = None
    frame_end: Frame | None = None
    clock: Number | None = None
    clock_start: Number | None = None
    clock_end: Number | None = None
    cyclic: bool | None = None
    quality: int | None = Field(None, ge=0, le=11)
    antialias: float | None = Field(None, gt=0, le=3)
    antialias_depth: int | None = Field(None, ge=1, le=9)
    antialias_method: int | None = Field(None, ge=1, le=2)
    jitter: bool | None = None
    declare: dict[Name, Number] = Field(default_factory=dict, max_length=100)
    parse_timeout_s: float | None = Field(None, gt=0, le=PARSE_S_MAX)


class PovrayRenderer:
    """A `Renderer` (see `peer.ports`) over one POV-Ray. `program` is its path.

    Invariants: every process that it started is in the registry, and ends with `close`; a driver opens one scene and no
    other after that.
    """

    def __init__(self, program: str, options: RendererOptions) -> None:
        self.name = "povray"
        self._options = options
        self._registry = ProcessRegistry(options.registry_dir)
        program = os.path.realpath(program) if options.sandbox.level != "none" else program
        self._turn = 0
        self._launch = Launch(
            command=(sys.executable, "-I", str(DRIVER), program, *map(str, options.read)),
            environ=options.environ,
            scratch=options.scratch_dir,
            registry=self._registry,
            memory_bytes=options.memory_bytes,
            stall_s=options.stall_s,
            sandbox=options.sandbox,
            run=(DRIVER.parent, DRIVER.parent.parent / "driver", *interpreter(), *_installed(Path(program))),
            read=(*options.read, *_SETTINGS_FOLDERS),
        )
        self._all: set[DriverProcess] = set()
        self._closed = False

    async def probe(self) -> Capabilities:
        """See `Renderer.probe`. Also ends what a crashed daemon left behind."""
        for pid in await asyncio.to_thread(self._registry.reap):
            log.warning("ended a renderer that a crashed daemon left behind", pid=pid)
        process = await self._start()
        try:
            hello = (await process.ask({"do": "hello"}, timeout_s=limits.RENDERER_START_S_MAX)).result
        finally:
            await self._discard(process)
        return reports.capabilities(hello, self.name, "program")

    async def inspect(self, tree: Path, main: str, settings: RenderSettings) -> Inspection:
        """See `Renderer.inspect`. Raises `RendererMissing`."""
        try:
            command = {"do": "inspect", **_scene(tree, main, settings)}
        except RenderFailed as error:
            return Inspection(error=error.failure)
        process = await self._start()
        try:
            answer = await process.ask(command)
            return reports.inspection(answer.result)
        except RenderFailed as error:
            return Inspection(error=error.failure)
        finally:
            await self._discard(process)

    async def open(
        self, tree: Path, main: str, settings: RenderSettings, *, frame_timeout_s: float | None = None
    ) -> DriverSession:
        """See `Renderer.open`."""
        command = {"do": "open", **_scene(tree, main, settings)}
        try:
            process = await self._start()
        except RendererMissing as error:
            raise RenderFailed(Failure("renderer", str(error))) from error
        try:
            await process.ask(command)
        except BaseException:
            await self._discard(process)
            raise
        return PovraySession(process, lambda process, reuse: self._discard(process), frame_timeout_s)

    async def close(self) -> None:
        """See `Renderer.close`."""
        self._closed = True
        async with asyncio.TaskGroup() as group:
            for process in list(self._all):
                group.create_task(self._discard(process))

    async def _start(self) -> DriverProcess:
        if self._closed:
            raise RendererMissing("the renderer is closed")
        objection = self._launch.sandbox.objection(Reach(run=self._launch.run))
        if objection:
            raise RendererMissing(objection)
        self._turn += 1
        process = DriverProcess(replace(self._launch, cpus=platform.cpu_share(self._options.cpus, self._turn)))
        self._all.add(process)
        try:
            problem = await process.start()
        except RenderFailed as error:
            problem = error.failure.reason
        except BaseException:
            await self._discard(process)
            raise
        if problem:
            self._all.discard(process)
            last = " / ".join(problem.strip().splitlines()[-3:])[: limits.REASON_CHARS_MAX]
            raise RendererMissing(f"POV-Ray does not start: {last}")
        return process

    async def _discard(self, process: DriverProcess) -> None:
        await process.stop()
        self._all.discard(process)


class PovraySession(DriverSession):
    """The driver outlives a povray that the kernel ends for lack of memory: only here is that told from a crash."""

    async def render(self, frame: int, folder: Path, on_progress: Callable[[float], None]) -> Any:
        """See `Session.render`."""
        ooms = platform.out_of_memory_kills()
        try:
            return await super().render(frame, folder, on_progress)
        except RenderFailed as error:
            killed = error.failure.kind == "crash" and "(signal 9)" in error.failure.reason
            if killed and platform.out_of_memory_kills() > ooms:
                raise RenderFailed(Failure("memory", "the renderer ran out of memory (signal SIGKILL)"), log=error.log) from None
            raise


def povray_settings(settings: RenderSettings) -> PovraySettings:
    """Check `settings.settings`. Raises `RenderFailed` (`scene`) that names the key at fault and those that exist."""
    try:
        return PovraySettings.model_validate_json(json.dumps(settings.settings))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = f"settings: {where}: {first['msg']}; POV-Ray's are {', '.join(PovraySettings.model_fields)}"
        raise RenderFailed(Failure("scene", reason[: limits.REASON_CHARS_MAX])) from None


def _scene(tree: Path, main: str, settings: RenderSettings) -> dict[str, Any]:
    """A command's part about the scene. Raises `RenderFailed` (`scene`)."""
    wishes = povray_settings(settings).model_dump(mode="json")
    own = settings.model_dump(mode="json", exclude={"blender", "settings"})
    return {"tree": str(tree), "main": main, "settings": {**own, "settings": wishes}}


def _installed(program: Path) -> tuple[Path, ...]:
    """The folders of a POV-Ray that does not lie where the system's programs do."""
    return (program.parent, *(program.parent.parent / "share").glob("povray*"))
