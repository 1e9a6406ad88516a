"""A renderer, its sessions and a verifier in memory. They make real files; a test decides when and how each frame ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from peer.ports import Rendered, RenderFailed, ReportedFile, VerifiedFile
from protocol.jobs.results import Capabilities, Failure, Inspection
from protocol.jobs.spec import RenderSettings

STOPPED = Failure("infrastructure", "the renderer was stopped")


class FakeRenderer:
    """Satisfies `peer.ports.Renderer`. Faults are raised once each, in order; `hold_open` and `hold_look` make it wait."""

    name = "blender"

    def __init__(self) -> None:
        self.sessions: list[FakeSession] = []
        self.opened: list[tuple[Path, str, RenderSettings, float | None]] = []
        self.open_faults: deque[Exception] = deque()
        self.look_faults: deque[Exception] = deque()
        self.inspection = Inspection(blender="5.0.1", camera="Camera", frame_end=48)
        self.hold_open: asyncio.Event | None = None
        self.hold_look: asyncio.Event | None = None
        self.looking = 0
        self.closed = False
        self.instant = False
        self.log = "rendered\n"

    async def probe(self) -> Capabilities:
        return Capabilities(renderer=self.name, version="5.0.1", build="fake", home="program")

    async def inspect(self, tree: Path, main: str, settings: RenderSettings) -> Inspection:
        self.looking += 1
        if self.hold_look is not None:
            await self.hold_look.wait()
        if self.look_faults:
            raise self.look_faults.popleft()
        return self.inspection

    async def open(self, tree: Path, main: str, settings: RenderSettings, *, frame_timeout_s: float | None = None) -> FakeSession:
        self.opened.append((tree, main, settings, frame_timeout_s))
        if self.hold_open is not None:
            await self.hold_open.wait()
        if self.open_faults:
            raise self.open_faults.popleft()
        self.sessions.append(FakeSession(self))
        return self.sessions[-1]

    async def close(self) -> None:
        self.closed = True

    @property
    def open_sessions(self) -> list[FakeSession]:
        return [session for session in self.sessions if not session.over]


class FakeSession:
    """Satisfies `peer.ports.Session`: one frame at a time in the order of the calls; the test ends each with `finish`."""

    def __init__(self, renderer: FakeRenderer) -> None:
        self._renderer = renderer
        self._turn = asyncio.Lock()
        self._end: asyncio.Future[Exception | None] | None = None
        self._dead: Failure | None = None
        self.asked: list[int] = []
        self.rendering: int | None = None
        self.over = False

    async def render(self, frame: int, folder: Path, on_progress: Callable[[float], None]) -> Rendered:
        self.asked.append(frame)
        async with self._turn:
            if self._dead is not None:
                raise RenderFailed(Failure("infrastructure", f"not begun: {self._dead.reason}"))
            self.rendering, self._end = frame, asyncio.get_running_loop().create_future()
            on_progress(0.5)
            if self._renderer.instant:
                self.finish()
            error = await self._end
            self.rendering = None
            if error is not None:
                raise error
            picture = folder / f"{frame:04d}.png"
            picture.write_bytes(b"picture of frame %d" % frame)
            file = ReportedFile("main", picture.name, picture, 320, 180, 3, "PNG")
            return Rendered((file,), 0.25, "cpu", self._renderer.log)

    def finish(self, error: Exception | None = None) -> None:
        """End the frame that renders, well or not."""
        assert self._end is not None
        self._end.set_result(error)

    def die(self, failure: Failure) -> None:
        """The process is gone: what renders is blamed, what waits was never tried."""
        self._dead = failure
        if self._end is not None and not self._end.done():
            self._end.set_result(RenderFailed(failure, log="last words"))

    async def stop(self) -> None:
        self.over = True
        self.die(STOPPED)

    async def close(self) -> None:
        self.over = True
        self.die(STOPPED)


class FakeVerifier:
    """Satisfies `peer.ports.Verifier`: reads every file, and raises the next fault if there is one."""

    def __init__(self) -> None:
        self.faults: deque[Exception] = deque()
        self.closed = False

    async def verify(self, files: Sequence[ReportedFile]) -> list[VerifiedFile]:
        if self.faults:
            raise self.faults.popleft()
        return [VerifiedFile(file, f"{len(file.path.read_bytes()):064x}") for file in files]

    async def close(self) -> None:
        self.closed = True
