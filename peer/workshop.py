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

import structlog

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
from protocol.jobs.results import Failure, FrameResult, Inspection, Output, recordable
from protocol.jobs.spec import RenderSettings

SessionKey = tuple[str, RenderSettings, float | None]
OUR_FAULT = (StoreFull, StoreBroken, Corrupt, Refusal, OSError)
STOPPED = Failure("infrastructure", "stopped")

_log = structlog.get_logger("rendermesh")


@dataclass(slots=True)
class _Bench:
    """One slot. Invariant: at most one session is open; it is replaced only when nothing runs in it.

    `taking_up` is what is being inspected, or opened for: the one step that may be cancelled when its task is stopped."""

    waiting: deque[Render | Inspect] = field(default_factory=deque)
    filled: asyncio.Event = field(default_factory=asyncio.Event)
    key: SessionKey | None = None
    session: Session | None = None
    running: dict[TaskId, asyncio.Task[None]] = field(default_factory=dict)
    taking_up: tuple[TaskId, asyncio.Task[None]] | None = None


class Workshop:
    """Invariants: every Render, Verify and Inspect ends in exactly one event; an attempt's folder is gone afterwards."""

    def __init__(
        self, *, slots: int, renderers: Mapping[str, Renderer], verifier: Verifier, blobs: Blobs, folder: Path,
        tell: Callable[[Event], None],
    ) -> None:  # fmt: skip
        self.renderers = dict(renderers)
        self.on_renderer_failed: Callable[[str], None] = lambda name: None
        self._verifier = verifier
        self._blobs = blobs
        self._folder = folder
        self._tell = tell
        self._benches = [_Bench() for _ in range(slots)]
        self._rendered: dict[TaskId, tuple[Rendered, Path]] = {}
        self._under_way: set[TaskId] = set()  # an event is owed
        self._stopped: set[TaskId] = set()  # of those, the ones that nobody wants any more
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
        self._under_way.add(effect.task)
        _ = self._spawn(self._verify(effect, self._rendered.pop(effect.task, None)))

    def stop(self, effect: StopTask) -> None:
        """Stop a task wherever it is; its event still comes. One whose event has come loses its files."""
        task = effect.task
        if task in self._rendered:
            _ = self._spawn(_remove(self._rendered.pop(task)[1]))
        if task not in self._under_way:
            return
        self._stopped.add(task)
        for bench in self._benches:
            if task in bench.running and bench.session is not None:
                _ = self._spawn(_ignoring(bench.session.stop()))
                bench.session = bench.key = None
            elif bench.taking_up is not None and bench.taking_up[0] == task:
                bench.taking_up[1].cancel()

    async def equip(self, renderers: Mapping[str, Renderer]) -> None:
        """Use these, by name, from now on. One that gives way is closed, its sessions too: nothing may run in them."""
        replaced = [old for name, old in self.renderers.items() if renderers.get(name, old) is not old]
        self.renderers.update(renderers)
        for bench in self._benches if replaced else ():
            if not bench.running:
                await self._close_session(bench)
        for old in replaced:
            await _ignoring(old.close())

    def _queue(self, effect: Render | Inspect) -> None:
        self._under_way.add(effect.task)
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
            await asyncio.wait([self._spawn(self._take_up(bench, effect))])

    async def _take_up(self, bench: _Bench, effect: Render | Inspect) -> None:
        """Begin with an effect; answer it when that fails or it is stopped meanwhile."""
        try:
            await self._begin(bench, effect)
        except asyncio.CancelledError:
            if effect.task not in self._stopped:
                raise
            self._refuse(effect, STOPPED)
        except RenderFailed as error:
            log = await self._keep_log(effect.job, error.log) if isinstance(effect, Render) else (None, 0)
            self._refuse(effect, error.failure, *log)
        except Exception as error:
            self._refuse(effect, _failure(error))

    async def _begin(self, bench: _Bench, effect: Render | Inspect) -> None:
        """The part that may be cancelled: while it lasts, `bench.taking_up` is this very task."""
        if effect.task in self._stopped:
            raise RenderFailed(STOPPED)
        me = asyncio.current_task()
        assert me is not None
        bench.taking_up = (effect.task, me)
        try:
            if isinstance(effect, Inspect):
                await self._quiesce(bench)
                self._end_inspect(effect.task, await self.look(effect.manifest, effect.settings))
            else:
                await self._start_frame(bench, effect)
        finally:
            bench.taking_up = None

    def _refuse(self, effect: Render | Inspect, failure: Failure, log: Digest | None = None, log_size: int = 0) -> None:
        if failure.kind == "renderer":
            self.on_renderer_failed(effect.settings.renderer)
        if isinstance(effect, Inspect):
            self._end_inspect(effect.task, Inspection(error=Failure(failure.kind, recordable(failure.reason))))
        else:
            self._end_render(effect.task, _failed(failure, log=log, log_size=log_size))

    async def _start_frame(self, bench: _Bench, effect: Render) -> None:
        """Hand a frame to the bench's session; another scene or other settings wait for what runs to end."""
        key = (effect.manifest.digest(), effect.settings, effect.frame_timeout_s)
        if bench.key != key or bench.session is None:
            await self._quiesce(bench)
            await self._close_session(bench)
            await self._open(bench, key, effect)
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
            rendered = await session.render(effect.frame, folder, self._progress(effect.task))
        except RenderFailed as error:
            if bench.session is session and error.failure.kind != "scene":
                await self._close_session(bench)
            await _remove(folder)
            words = error.log if error.failure.kind != "infrastructure" else ""
            log, log_size = await self._keep_log(effect.job, words)
            self._end_render(effect.task, _failed(error.failure, log=log, log_size=log_size))
        except Exception as error:
            await _remove(folder)
            self._end_render(effect.task, _failed(_failure(error)))
        else:
            if effect.task in self._stopped:
                await _remove(folder)
            else:
                self._rendered[effect.task] = (rendered, folder)
            self._end_render(effect.task, FrameResult((), None, rendered.seconds, rendered.device))

    def _progress(self, task: TaskId) -> Callable[[float], None]:
        """Tell at once that the frame has begun, then at most so many fractions a second: each is a step of every machine."""
        loop = asyncio.get_running_loop()
        self._tell(FrameProgressed(task, 0.0))
        last = loop.time()

        def told(fraction: float) -> None:
            nonlocal last
            now = loop.time()
            if now - last >= limits.PROGRESS_APART_S:
                last = now
                self._tell(FrameProgressed(task, fraction))

        return told

    def _end_render(self, task: TaskId, result: FrameResult) -> None:
        self._tell(FrameRendered(task, _failed(STOPPED) if self._ends(task) else result))

    def _end_inspect(self, task: TaskId, inspection: Inspection) -> None:
        self._tell(InspectEnded(task, Inspection(error=STOPPED) if self._ends(task) else inspection))

    def _ends(self, task: TaskId) -> bool:
        """The task's event is about to be told: whether it was stopped meanwhile."""
        self._under_way.discard(task)
        stopped = task in self._stopped
        self._stopped.discard(task)
        return stopped

    async def _quiesce(self, bench: _Bench) -> None:
        """Wait until nothing runs in the bench's session."""
        while bench.running:
            await asyncio.wait(list(bench.running.values()))

    async def _close_session(self, bench: _Bench) -> None:
        """Not to be cut short: a session that is closed by half would keep its process."""
        session, bench.session, bench.key = bench.session, None, None
        if session is not None:
            await asyncio.shield(self._spawn(_ignoring(session.close())))

    # inspection

    async def look(self, manifest: Manifest, settings: RenderSettings) -> Inspection:
        """Open a scene whose files are here and look at it, on no bench. Raises `RenderFailed` when there is nothing to open
        it with, `Corrupt` or `StoreFull` when its files cannot be laid out."""
        renderer = self._renderer(settings)
        tree = await self._tree(manifest)
        try:
            return await renderer.inspect(tree, manifest.main, settings)
        except RendererMissing as error:
            raise RenderFailed(Failure("renderer", _text(error))) from error

    # verification

    async def _verify(self, effect: Verify, found: tuple[Rendered, Path] | None) -> None:
        if found is None:
            result = _failed(Failure("infrastructure", "its files are gone"))
        else:
            result = await self._accept(effect.job if effect.keep else None, *found)
            await _remove(found[1])
        self._ends(effect.task)
        self._tell(FrameVerified(effect.task, result))

    async def _accept(self, job: JobId | None, rendered: Rendered, folder: Path) -> FrameResult:
        """The frame's result: its outputs taken in, or why not. One pinning, and so one fsync, for all of them and the log.

        Without a job they lie in the cache, and no log is kept."""
        seconds, device = rendered.seconds, rendered.device
        try:
            outputs = await self._take_in(rendered)
        except RenderFailed as error:
            log = (None, 0) if job is None else await self._keep_log(job, error.log or rendered.log)
            return _failed(error.failure, seconds, *log)
        except Exception as error:
            return _failed(_failure(error), seconds)
        if job is None:
            return FrameResult(outputs, None, seconds, device)
        log = await self._adopt_log(rendered.log)
        try:
            await self._blobs.pin(job, [*(output.digest for output in outputs), *([log[0]] if log[0] else [])])
        except Exception as error:
            return _failed(_failure(error), seconds)
        return FrameResult(outputs, None, seconds, device, *log)

    async def _take_in(self, rendered: Rendered) -> tuple[Output, ...]:
        """Verify every file, then adopt it into the store (C5, C6)."""
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
        return tuple(outputs)

    async def _keep_log(self, job: JobId, text: str) -> tuple[Digest | None, int]:
        """The renderer's own text as a blob that is protected for the job, and its size; None when there is none."""
        digest, size = await self._adopt_log(text)
        try:
            if digest is not None:
                await self._blobs.pin(job, [digest])
        except OUR_FAULT as error:
            _log.warning("log_not_kept", job=job, reason=_text(error))
            return None, 0
        return digest, size

    async def _adopt_log(self, text: str) -> tuple[Digest | None, int]:
        """A result without its log is better than none."""
        data = text.encode("utf-8", "replace")[-limits.FRAME_LOG_BYTES_MAX :]
        if not data:
            return None, 0
        try:
            [taken] = await self._blobs.take_many([data])
        except OUR_FAULT as error:
            _log.warning("log_not_kept", reason=_text(error))
            return None, 0
        return taken

    async def _close(self) -> None:
        for session in [bench.session for bench in self._benches if bench.session is not None]:
            await _ignoring(session.close())
        for renderer in self.renderers.values():
            await _ignoring(renderer.close())
        await _ignoring(self._verifier.close())


def _failed(failure: Failure, seconds: float = 0.0, log: Digest | None = None, log_size: int = 0) -> FrameResult:
    return FrameResult((), Failure(failure.kind, recordable(failure.reason)), seconds, log=log, log_size=log_size)


def _failure(error: Exception) -> Failure:
    """What our own side did wrong. A mistake of ours counts against the frame, so that it cannot go round the mesh for ever."""
    if isinstance(error, OUR_FAULT):
        return Failure("infrastructure", _text(error))
    _log.error("workshop_broke", exc_info=error)
    return Failure("crash", f"the peer itself failed: {type(error).__name__}: {_text(error)}")


def _text(error: BaseException) -> str:
    return recordable(str(error) or type(error).__name__)


async def _ignoring(closing: Coroutine[Any, Any, None]) -> None:
    """Close something that may be broken already: its failure must not keep the others open."""
    with contextlib.suppress(RenderFailed, OSError):
        await closing


async def _remove(folder: Path) -> None:
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
