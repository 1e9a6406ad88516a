"""The renderer without Blender: waits, then writes a small honest PNG that says NULL. For benchmarks, faults and first looks.

Only a peer that was told `--renderer null` has it. Needs no scene; its settings can make it fail in every known way.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from peer.ports import Rendered, RenderFailed, ReportedFile
from protocol import limits
from protocol.jobs.results import Capabilities, Failure, Inspection
from protocol.jobs.spec import RenderSettings

_SIZE = (320, 180)
_STEPS = 10
_VERSION = "1.0.0"

FrameList = Annotated[tuple[int, ...], Field(max_length=limits.FRAMES_PER_BATCH_MAX)]


class NullSettings(BaseModel):
    """What `settings` of a null job may say. `frame_ms` is how long a frame takes; the lists name frames that misbehave."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    frame_ms: int = Field(100, ge=0, le=limits.NULL_FRAME_MS_MAX)
    output: Literal["png", "none"] = "png"
    frame_start: int = Field(1, ge=limits.FRAME_NUMBER_MIN, le=limits.FRAME_NUMBER_MAX)
    frame_end: int = Field(1, ge=limits.FRAME_NUMBER_MIN, le=limits.FRAME_NUMBER_MAX)
    fail_frames: FrameList = ()
    hang_frames: FrameList = ()
    crash_frames: FrameList = ()


class NullRenderer:
    """A `Renderer` (see `peer.ports`) without a process of its own. Its pixels depend on the frame and the size alone."""

    def __init__(self) -> None:
        self.name = "null"
        self._sessions: set[NullSession] = set()

    async def probe(self) -> Capabilities:
        """See `Renderer.probe`; it is always there."""
        build = f"pillow {version('pillow')}"  # which draws the letters
        return Capabilities(renderer=self.name, version=_VERSION, build=build, home="null", engines=("NULL",))

    async def inspect(self, tree: Path, main: str, settings: RenderSettings) -> Inspection:
        """See `Renderer.inspect`: no file is read; wrong settings are the scene's error."""
        try:
            wishes = null_settings(settings)
        except RenderFailed as error:
            return Inspection(blender=_VERSION, error=error.failure)
        width, height = _size(settings)
        return Inspection(
            blender=_VERSION,
            scene=main or "null",
            camera="none",
            engine="NULL",
            frame_start=wishes.frame_start,
            frame_end=max(wishes.frame_start, wishes.frame_end),
            width=width,
            height=height,
            format="PNG" if wishes.output == "png" else "",
            notes=("the null renderer draws no scene: its pictures say NULL",),
        )

    async def open(self, tree: Path, main: str, settings: RenderSettings, *, frame_timeout_s: float | None = None) -> NullSession:
        """See `Renderer.open`. Raises `RenderFailed` (`scene`) for settings that it does not know."""
        session = NullSession(main, null_settings(settings), _size(settings), frame_timeout_s, self._sessions.discard)
        self._sessions.add(session)
        return session

    async def close(self) -> None:
        """See `Renderer.close`."""
        for session in list(self._sessions):
            await session.stop()


class NullSession:
    """A `Session` (see `peer.ports`): one frame at a time, in the order of the calls. After `stop` or a crash none more."""

    def __init__(
        self,
        main: str,
        wishes: NullSettings,
        size: tuple[int, int],
        frame_timeout_s: float | None,
        on_end: Callable[[NullSession], None],
    ) -> None:
        self._main = main
        self._wishes = wishes
        self._size = size
        self._timeout_s = frame_timeout_s
        self._on_end = on_end
        self._turn = asyncio.Lock()
        self._over = asyncio.Event()
        self._end: Failure | None = None

    async def render(self, frame: int, folder: Path, on_progress: Callable[[float], None]) -> Rendered:
        """See `Session.render`."""
        async with self._turn:
            self._refuse_when_over()
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._work(frame, on_progress)
            except TimeoutError:
                self._finish(Failure("timeout", f"not finished after {self._timeout_s:g} s (frame_timeout_s)"))
                raise RenderFailed(Failure("timeout", f"not finished after {self._timeout_s:g} s (frame_timeout_s)")) from None
            files = await self._write(frame, folder)
            on_progress(1.0)
            return Rendered(files, time.monotonic() - began, "null", f"null renderer: frame {frame}\n")

    async def stop(self) -> None:
        """See `Session.stop`."""
        self._finish(Failure("infrastructure", "the renderer was stopped"))

    async def close(self) -> None:
        """See `Session.close`."""
        self._finish(Failure("infrastructure", "the session is closed"))

    async def _work(self, frame: int, on_progress: Callable[[float], None]) -> None:
        if frame in self._wishes.hang_frames:
            await self._over.wait()
            self._refuse_when_over()
        for step in range(_STEPS):
            await self._pause(self._wishes.frame_ms / 1000 / _STEPS)
            on_progress((step + 1) / (_STEPS + 1))
        if frame in self._wishes.crash_frames:
            self._finish(Failure("crash", "the null renderer crashed, as its settings ask"))
            raise RenderFailed(Failure("crash", "the null renderer crashed, as its settings ask"), log="crash_frames")
        if frame in self._wishes.fail_frames:
            raise RenderFailed(Failure("scene", f"frame {frame} failed, as the settings ask"), log="fail_frames")

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than the session lives."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return
        self._refuse_when_over()

    async def _write(self, frame: int, folder: Path) -> tuple[ReportedFile, ...]:
        if self._wishes.output == "none":
            return ()
        path = folder / f"main_{frame:04d}.png"
        await asyncio.to_thread(draw, path, self._size, [self._main or "null job", f"frame {frame}", "NULL"])
        return (ReportedFile("main", path.name, path, *self._size, 3, "PNG"),)

    def _refuse_when_over(self) -> None:
        if self._end is not None:
            raise RenderFailed(Failure("infrastructure", self._end.reason))

    def _finish(self, failure: Failure) -> None:
        if self._end is None:
            self._end = failure
            self._over.set()
            self._on_end(self)


def null_settings(settings: RenderSettings) -> NullSettings:
    """Check `settings.settings`. Raises `RenderFailed` (`scene`) that names the key at fault and those that exist."""
    try:
        return NullSettings.model_validate_json(json.dumps(settings.settings))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(NullSettings.model_fields)
        reason = f"settings: {where}: {first['msg']}; the null renderer knows {known}"
        raise RenderFailed(Failure("scene", reason[: limits.REASON_CHARS_MAX])) from None


def draw(path: Path, size: tuple[int, int], lines: list[str]) -> None:
    """Write a PNG of `size` pixels with `lines` of text on a colour that the text decides. Blocks."""
    from PIL import Image, ImageDraw

    shade = sum(lines[1].encode()) % 64
    picture = Image.new("RGB", size, (32 + shade, 40, 96 - shade))
    pen = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        pen.text((8, 8 + 16 * row), line.encode("ascii", "replace").decode(), fill=(255, 255, 255))
    picture.save(path, "PNG")


def _size(settings: RenderSettings) -> tuple[int, int]:
    if settings.resolution is None:
        return _SIZE
    width, height = settings.resolution.split("x")
    return int(width), int(height)
