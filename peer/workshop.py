"""The workshop: one bench per slot, each with a warm session; renders, inspects, verifies and takes the outputs in.

Decides nothing about jobs: it performs `Render`, `Verify`, `Inspect` and `StopTask`, and answers each with one event.
Frames of a bench run in the order in which they came; while one is verified the next one renders.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peer.ports import (
    Blobs,
    Corrupt,
    Rendered,
    Renderer,
    RendererMissing,
    RenderFailed,
    Session,
    StoreBroken,
    StoreFull,
    Verifier,
)
from protocol import limits
from protocol.effects import Inspect, Render, StopTask, Verify
from protocol.errors import Refusal
from protocol.events import Event, FrameProgressed, FrameRendered, FrameVerified, InspectEnded
from protocol.ids import Digest, JobId, TaskId
from protocol.jobs.manifest import EMPTY, Manifest
from protocol.jobs.results import Failure, FrameResult, Inspection, Output
from protocol.jobs.spec import RenderSettings

SessionKey = tuple[str, RenderSettings, float | None]
OUR_FAULT = (StoreFull, StoreBroken, Corrupt, Refusal, OSError)


@dataclass(slots=True)
class _Bench:
    """One slot. Invariant: at most one session is open; it is replaced only when nothing runs in it."""

    waiting: deque[Render | Inspect] = field(default_factory=deque)
    filled: asyncio.Event = field(default_factory=asyncio.Event)
    key: SessionKey | None = None
    session: Session | None = None
    running: dict[TaskId, asyncio.Task[None]] = field(default_factory=dict)


class Workshop:
    """Invariants: every Render, Verify and Inspect ends in exactly one event; an attempt's folder is gone afterwards."""

    def __init__(
        self, *, slots: int, renderers: Mapping[str, Renderer], verifier: Verifier, blobs: Blobs, folder: Path,
        tell: Callable[[Event], None],
    ) -> None:  # fmt: skip
        self.renderers = dict(renderers)
        self._verifier = verifier
        self._blobs = blobs
        self._folder = folder
        self._tell = tell
        self._benches = [_Bench() for _ in range(slots)]
        self._rendered: dict[TaskId, tuple[Rendered, Path]] = {}
        self._stopped: set[TaskId] = set()
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Work until cancelled; then end every session."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for bench in self._benches:
                    group.create_task(self._tend(bench))
        finally:
            await self._close()

    # what the engine asks for

    def render(self, effect: Render) -> None:
        """Queue a frame on its bench."""
        self._queue(effect)

    def inspect(self, effect: Inspect) -> None:
        """Queue a look at a scene on its bench."""
        self._queue(effect)

    def verify(self, effect: Verify) -> None:
        """Verify and take in what a rendered task has left."""
        _ = self._spawn(self._verify(effect))

    def stop(self, effect: StopTask) -> None:
        """Stop a task wherever it is; its event still comes."""
        self._stopped.add(effect.task)
        for bench in self._benches:
            if effect.task in bench.running and bench.session is not None:
                _ = self._spawn(self._stop_session(bench, effect.task))

    def _queue(self, effect: Render | Inspect) -> None:
        bench = self._benches[effect.slot]
        bench.waiting.append(effect)
        bench.filled.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._group is not None, "the workshop is not running"
        return self._group.create_task(work)

    # a bench

    async def _tend(self, bench: _Bench) -> None:
        while True:
            bench.filled.clear()
            if not bench.waiting:
                await bench.filled.wait()
                continue
            effect = bench.waiting.popleft()
            if isinstance(effect, Inspect):
                await self._quiesce(bench)
                await self._inspect(effect)
            else:
                await self._start_frame(bench, effect)

    async def _start_frame(self, bench: _Bench, effect: Render) -> None:
        """Hand a frame to the bench's session; another scene or other settings wait for what runs to end."""
        if effect.task in self._stopped:
            self._end_render(effect.task, _failed(Failure("infrastructure", "stopped before it began")))
            return
        key = (effect.manifest.digest(), effect.settings, effect.frame_timeout_s)
        if bench.key != key or bench.session is None:
            await self._quiesce(bench)
            await self._close_session(bench)
            try:
                await self._open(bench, key, effect)
            except RenderFailed as error:
                self._end_render(effect.task, await self._failure(effect.job, error))
                return
            except OUR_FAULT as error:
                self._end_render(effect.task, _failed(Failure("infrastructure", _text(error))))
                return
        assert bench.session is not None
        task = self._spawn(self._frame(bench, bench.session, effect))
        bench.running[effect.task] = task
        task.add_done_callback(lambda _: bench.running.pop(effect.task, None))
        await asyncio.sleep(0)  # let the frame reach the renderer before the next one may

    async def _open(self, bench: _Bench, key: SessionKey, effect: Render) -> None:
        renderer = self._renderer(effect.settings)
        tree = await self._tree(effect.manifest)
        bench.session = await renderer.open(tree, effect.manifest.main, effect.settings, frame_timeout_s=effect.frame_timeout_s)
        bench.key = key

    def _renderer(self, settings: RenderSettings) -> Renderer:
        renderer = self.renderers.get(settings.renderer)
        if renderer is None:
            raise RenderFailed(Failure("infrastructure", f"this peer has no renderer {settings.renderer!r}"))
        return renderer

    async def _tree(self, manifest: Manifest) -> Path:
        return self._folder if manifest == EMPTY else await self._blobs.materialise(manifest)

    async def _frame(self, bench: _Bench, session: Session, effect: Render) -> None:
        folder = self._folder / effect.task
        try:
            folder.mkdir()
            self._tell(FrameProgressed(effect.task, 0.0))
            rendered = await session.render(
                effect.frame, folder, lambda fraction: self._tell(FrameProgressed(effect.task, fraction))
            )
        except RenderFailed as error:
            if bench.session is session and error.failure.kind != "scene":
                bench.session = bench.key = None
                await _ignoring(session.close())
            await _remove(folder)
            self._end_render(effect.task, await self._failure(effect.job, error))
        except OUR_FAULT as error:
            await _remove(folder)
            self._end_render(effect.task, _failed(Failure("infrastructure", _text(error))))
        else:
            self._rendered[effect.task] = (rendered, folder)
            self._end_render(effect.task, FrameResult((), None, rendered.seconds, rendered.device))

    def _end_render(self, task: TaskId, result: FrameResult) -> None:
        if task in self._stopped:
            self._stopped.discard(task)
            if result.failure is None:
                _ = self._spawn(self._drop(task))
            result = _failed(Failure("infrastructure", "stopped"))
        self._tell(FrameRendered(task, result))

    async def _drop(self, task: TaskId) -> None:
        """A frame that was stopped after it had ended: nobody wants its files."""
        found = self._rendered.pop(task, None)
        if found is not None:
            await _remove(found[1])

    async def _stop_session(self, bench: _Bench, task: TaskId) -> None:
        session = bench.session
        if session is not None and task in bench.running:
            bench.session = bench.key = None
            await session.stop()

    async def _quiesce(self, bench: _Bench) -> None:
        """Wait until nothing runs in the bench's session."""
        while bench.running:
            await asyncio.wait(list(bench.running.values()))

    async def _close_session(self, bench: _Bench) -> None:
        session, bench.session, bench.key = bench.session, None, None
        if session is not None:
            await session.close()

    # inspection

    async def _inspect(self, effect: Inspect) -> None:
        if effect.task in self._stopped:
            self._stopped.discard(effect.task)
            self._tell(InspectEnded(effect.task, Inspection(error=Failure("infrastructure", "stopped"))))
            return
        try:
            renderer = self._renderer(effect.settings)
            tree = await self._tree(effect.manifest)
            inspection = await renderer.inspect(tree, effect.manifest.main, effect.settings)
        except RenderFailed as error:
            inspection = Inspection(error=error.failure)
        except RendererMissing as error:
            inspection = Inspection(error=Failure("renderer", _text(error)))
        except OUR_FAULT as error:
            inspection = Inspection(error=Failure("infrastructure", _text(error)))
        self._stopped.discard(effect.task)
        self._tell(InspectEnded(effect.task, inspection))

    # verification

    async def _verify(self, effect: Verify) -> None:
        found = self._rendered.pop(effect.task, None)
        if found is None:
            self._tell(FrameVerified(effect.task, _failed(Failure("infrastructure", "its files are gone"))))
            return
        rendered, folder = found
        try:
            outputs = await self._take_in(effect.job, rendered)
            log = await self._keep_log(effect.job, rendered.log)
            result = FrameResult(outputs, None, rendered.seconds, rendered.device, *log)
        except RenderFailed as error:
            result = await self._failure(effect.job, error, seconds=rendered.seconds, log=rendered.log)
        except OUR_FAULT as error:
            result = _failed(Failure("infrastructure", _text(error)))
        await _remove(folder)
        self._stopped.discard(effect.task)
        self._tell(FrameVerified(effect.task, result))

    async def _take_in(self, job: JobId, rendered: Rendered) -> tuple[Output, ...]:
        """Verify every file, then adopt it into the store and protect it for the job (C5, C6)."""
        if not rendered.files:
            return ()
        outputs: list[Output] = []
        for verified in await self._verifier.verify(rendered.files):
            file = verified.file
            digest, size = await self._blobs.adopt(file.path)
            outputs.append(
                Output(
                    role=file.role, name=file.name, digest=digest, pixel_hash=verified.pixel_hash, size=size,
                    width=file.width, height=file.height, channels=file.channels, format=file.format,
                )
            )  # fmt: skip
        await self._blobs.pin(job, [output.digest for output in outputs])
        return tuple(outputs)

    async def _keep_log(self, job: JobId, text: str) -> tuple[Digest | None, int]:
        """The renderer's own text as a blob, and its size; None when there is none."""
        data = text.encode("utf-8", "replace")[-limits.FRAME_LOG_BYTES_MAX :]
        if not data:
            return None, 0
        writer = await self._blobs.writer()
        await writer.write(data)
        digest, size = await writer.finish()
        await self._blobs.pin(job, [digest])
        return digest, size

    async def _failure(self, job: JobId, error: RenderFailed, *, seconds: float = 0.0, log: str = "") -> FrameResult:
        failure = Failure(error.failure.kind, error.failure.reason[: limits.REASON_CHARS_MAX])
        kept: tuple[Digest | None, int] = (None, 0)
        if failure.kind != "infrastructure":
            try:
                kept = await self._keep_log(job, error.log or log)
            except OUR_FAULT:
                kept = (None, 0)  # a failure without its log is better than no answer
        return FrameResult((), failure, seconds, log=kept[0], log_size=kept[1])

    async def _close(self) -> None:
        for bench in self._benches:
            await _ignoring(self._close_session(bench))
        for renderer in self.renderers.values():
            await _ignoring(renderer.close())
        await _ignoring(self._verifier.close())


def _failed(failure: Failure) -> FrameResult:
    return FrameResult((), failure, 0.0)


def _text(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[: limits.REASON_CHARS_MAX]


async def _ignoring(closing: Coroutine[Any, Any, None]) -> None:
    """Close something that may be broken already: its failure must not keep the others open."""
    with contextlib.suppress(RenderFailed, OSError):
        await closing


async def _remove(folder: Path) -> None:
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
