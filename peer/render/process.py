"""One renderer process: started, spoken to over pipes, watched by clocks, ended with its whole group.

Decides when a process is dead and of what. Refuses to know scenes and pools. The environment it hands on is an allow-list:
a peer's own OCIO or BLENDER_* variables would change pixels.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from peer.ports import RenderFailed
from peer.render import platform
from peer.render.registry import ProcessRegistry
from peer.render.renderlog import LogReader, classify
from peer.render.requests import Answer, Progress, Request, Requests
from peer.render.sandbox import OPEN, Reach, Sandbox, start
from protocol import limits
from protocol.jobs.results import Failure, FailureClass

ENVIRONMENT: Final = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "LIBGL_ALWAYS_SOFTWARE",
    "SYSTEMROOT",
)
"""Variables of the daemon that a renderer inherits, when they are set. HOME, temporary and cache folders are the peer's own."""

NICENESS: Final = 10
_PIECE_BYTES: Final = 65_536
_MARK_WAIT_S: Final = 2.0
_IDLE_SHARE: Final = 0.005  # less than this share of one core is not work: the driver's own beat costs a fiftieth of it
_SAMPLES_PER_STALL: Final = 8

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Launch:
    """How a process is started. `command` ends where the driver's own arguments begin (`-- commands reports token`).

    Inside `sandbox` it can run what lies in `run`, read what lies in `read`, and write into its own temporary folder and the
    caches that all renderers of the peer share, nothing else. `cpus` are the processors that it may use (None: all), `ocio` the
    OCIO configuration of its jobs (None: the renderer's own)."""

    command: tuple[str, ...]
    environ: Mapping[str, str]
    scratch: Path
    registry: ProcessRegistry
    memory_bytes: int | None = None
    stall_s: float = limits.RENDERER_STALL_S
    sandbox: Sandbox = OPEN
    run: tuple[Path, ...] = ()
    read: tuple[Path, ...] = ()
    cpus: tuple[int, ...] | None = None
    ocio: Path | None = None


class DriverProcess:
    """A living renderer and the commands under way in it.

    Invariants: every command ends exactly once, with an answer or with `RenderFailed`; after the first death nothing is
    accepted any more; only the command that had begun is blamed for a death, the others were never tried.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._token = secrets.token_hex(8)
        self._temporary = launch.scratch / "tmp" / self._token
        self._outboxes = 0
        self._requests = Requests()
        self._log = LogReader(self._token, self._marked, self._sampled)
        self._verdict: Failure | None = None
        self._ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []
        self._last_sign = 0.0
        self._process: asyncio.subprocess.Process | None = None
        self._commands: asyncio.WriteTransport | None = None
        self._reports: asyncio.ReadTransport | None = None
        self._ooms = platform.out_of_memory_kills()
        self.version = ""
        self.opened: object = None

    async def start(self) -> str:
        """Start it and wait until the driver is there; what was printed if it never came, else an empty text."""
        await self._spawn()
        try:
            async with asyncio.timeout(limits.RENDERER_START_S_MAX):
                hello = await asyncio.shield(self._ready)
        except TimeoutError:
            await self.stop()
            return f"it was not ready after {limits.RENDERER_START_S_MAX:.0f} s"
        except BaseException:
            await self.stop()
            raise
        self.version = str(hello.get("version", ""))
        if hello["event"] == "ready":
            return ""
        await self.stop()
        return str(hello.get("text", "")) or "it ended without a word"

    @property
    def ocio(self) -> Path | None:
        """The OCIO configuration that it was started with."""
        return self._launch.ocio

    @property
    def pid(self) -> int:
        """The process's id, which is its group's too."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether commands can still be sent."""
        return self._verdict is None and self._process is not None and self._process.returncode is None

    @property
    def busy(self) -> bool:
        """Whether a command is under way or waits."""
        return len(self._requests) > 0

    async def ask(
        self, command: dict[str, Any], *, on_progress: Progress | None = None, timeout_s: float | None = None
    ) -> Answer:
        """Send one command and wait for its answer; `timeout_s` counts from when the driver takes it up.

        Raises `RenderFailed`: the driver's own refusal, or the death of the process.
        """
        if not self.alive:
            raise RenderFailed(Failure("infrastructure", "the renderer's process has ended"))
        request = self._requests.new(str(command["do"]), on_progress, timeout_s)
        line = json.dumps({**command, "id": request.number}).encode() + b"\n"
        if len(line) > limits.DRIVER_LINE_BYTES_MAX:
            self._requests.drop(request)
            raise RenderFailed(Failure("infrastructure", f"a command of {len(line)} bytes is longer than the driver accepts"))
        assert self._commands is not None, "started, so the pipe is there"
        self._commands.write(line)
        return await request.future

    def outbox(self) -> Path:
        """A new empty folder that the process can write to; made at once, so that commands keep their order."""
        self._outboxes += 1
        folder = self._temporary / "out" / str(self._outboxes)
        with contextlib.suppress(OSError):  # the driver says what it cannot write to
            folder.mkdir()
        return folder

    async def stop(self, failure: Failure = Failure("infrastructure", "the renderer was stopped")) -> None:
        """SIGTERM, one second, SIGKILL of the group. Returns when the process is gone and every command has failed."""
        await self._end(failure)
        await self._settle_tasks()

    async def _spawn(self) -> None:
        for folder in (self._temporary / "home", self._temporary / "out", self._launch.scratch / "cache"):
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        command_read, command_write = os.pipe()
        report_read, report_write = os.pipe()
        try:
            self._process = await self._start_child(command_read, report_write)
        except OSError as error:
            for descriptor in (command_write, report_read):
                os.close(descriptor)
            raise RenderFailed(Failure("infrastructure", f"the renderer's process cannot be started: {error.strerror}")) from None
        finally:
            for descriptor in (command_read, report_write):
                os.close(descriptor)
        await asyncio.to_thread(self._launch.registry.add, self._process.pid, self._temporary)
        await self._attach(command_write, report_read)

    async def _start_child(self, commands: int, reports: int) -> asyncio.subprocess.Process:
        launch, cache = self._launch, self._launch.scratch / "cache"
        reach = Reach(run=launch.run, read=launch.read, write=(self._temporary, cache), graphics=True)
        wishes = {"niceness": NICENESS, "memory_bytes": launch.memory_bytes, "cpus": launch.cpus}
        return await asyncio.create_subprocess_exec(
            *start(launch.sandbox, reach, launch.command, **wishes),
            "--",
            str(commands),
            str(reports),
            self._token,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment(
                {**launch.environ, **launch.sandbox.variables()},
                home=self._temporary / "home",
                temporary=self._temporary,
                cache=cache,
                ocio=launch.ocio,
            ),
            cwd=self._temporary,
            pass_fds=(commands, reports),
            start_new_session=True,
        )

    async def _attach(self, command_write: int, report_read: int) -> None:
        loop = asyncio.get_running_loop()
        self._commands, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(command_write, "wb", 0))
        reader = asyncio.StreamReader(limit=limits.DRIVER_LINE_BYTES_MAX)
        protocol = asyncio.StreamReaderProtocol(reader)
        self._reports, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(report_read, "rb", 0))
        self._last_sign = loop.time()
        reading = [loop.create_task(self._read_reports(reader)), loop.create_task(self._read_log())]
        self._tasks = [*reading, loop.create_task(self._watch()), loop.create_task(self._wait(reading))]

    async def _read_reports(self, reader: asyncio.StreamReader) -> None:
        while line := await _line(reader):
            try:
                self._reported(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                self._doom(Failure("renderer", "the renderer's driver does not speak our language"))
                return

    async def _read_log(self) -> None:
        assert self._process is not None, "reads its pipe"
        assert self._process.stdout is not None, "reads its pipe"
        while data := await self._process.stdout.read(_PIECE_BYTES):
            self._log.feed(data)

    def _reported(self, report: dict[str, Any]) -> None:
        event = report["event"]
        if event in ("ready", "missing"):
            if not self._ready.done():
                self._ready.set_result(report)
            return
        request = self._requests.find(report.get("id"))
        if event == "beat" or request is None:
            return
        self._last_sign = asyncio.get_running_loop().time()
        if event == "began":
            self._began(request)
        elif event == "progress":
            request.layers = int(report.get("layers", request.layers))
            if "sample" in report:
                request.sample(int(report["sample"]), int(report["of"]))
        elif event in ("done", "failed"):
            self._answered(request, report)

    def _began(self, request: Request) -> None:
        request.began = True
        if request.timeout_s is not None:
            text = f"not finished after {request.timeout_s:g} s (frame_timeout_s)"
            loop = asyncio.get_running_loop()
            request.timer = loop.call_later(request.timeout_s, self._doom, Failure("timeout", text))

    def _answered(self, request: Request, report: dict[str, Any]) -> None:
        request.report = report
        if request.timer is not None:
            request.timer.cancel()
        if request.log is None:
            request.timer = asyncio.get_running_loop().call_later(_MARK_WAIT_S, self._settle, request)
        else:
            self._settle(request)

    def _settle(self, request: Request) -> None:
        self._requests.drop(request)
        request.settle()

    def _marked(self, number: int, text: str) -> None:
        request = self._requests.find(number)
        if request is None:
            return
        request.log = text
        if request.report is not None:
            if request.timer is not None:
                request.timer.cancel()
            self._settle(request)

    def _sampled(self, done: int, total: int) -> None:
        self._last_sign = asyncio.get_running_loop().time()
        if self._requests.running is not None:
            self._requests.running.sample(done, total)

    def _doom(self, failure: Failure) -> None:
        """Give the process up: it is killed at once, `_wait` sees it end and blames the running command."""
        if self._verdict is None:
            self._verdict = failure
        if self._process is not None and self._process.returncode is None:
            platform.signal_group(self._process.pid, kill=True)

    async def _watch(self) -> None:
        """The stall clock: no report, no progress and no CPU time in the group, all three for `stall_s`."""
        loop = asyncio.get_running_loop()
        apart = self._launch.stall_s / _SAMPLES_PER_STALL
        used, at = 0.0, loop.time()
        while True:
            await asyncio.sleep(apart)
            if self._requests.running is None:
                self._last_sign = loop.time()
            if loop.time() - self._last_sign < apart:
                continue
            now_used, now = await asyncio.to_thread(platform.cpu_seconds, self.pid), loop.time()
            if now_used < used or now_used - used > _IDLE_SHARE * (now - at):
                self._last_sign = now
            used, at = now_used, now
            if self._requests.running is not None and now - self._last_sign >= self._launch.stall_s:
                self._doom(Failure("stalled", f"no progress and no CPU time for {self._launch.stall_s:g} s"))
                return

    async def _wait(self, reading: list[asyncio.Task[None]]) -> None:
        """See the process end, whatever of, take its last words, and fail what was under way."""
        assert self._process is not None, "waits for it"
        returncode = self._launch.sandbox.returncode(await self._process.wait())
        platform.signal_group(self._process.pid, kill=True)
        await asyncio.wait(reading, timeout=limits.RENDERER_TERM_S)
        words = self._log.rest()
        if self._verdict is None:
            self._verdict = self._cause(returncode, words)
        self._launch.registry.remove(self._process.pid)
        if not self._ready.done():
            text = words.strip() or (self._verdict.reason if returncode < 0 else platform.ended_by(returncode))
            self._ready.set_result({"event": "missing", "text": text})
        self._fail_all(words)
        await asyncio.to_thread(shutil.rmtree, self._temporary, ignore_errors=True)
        for transport in (self._commands, self._reports):
            if transport is not None:
                transport.close()

    def _fail_all(self, words: str) -> None:
        assert self._verdict is not None, "a verdict comes first"
        if self._requests.running is not None:
            log.warning("renderer process ended in a command", pid=self.pid, kind=self._verdict.kind, reason=self._verdict.reason)
        for request in self._requests.take_all():
            if request.report is not None:
                request.settle()
            elif request.began:
                request.fail(self._verdict, words)
            else:
                request.fail(Failure("infrastructure", f"not begun: {self._verdict.reason}"))

    def _cause(self, returncode: int, words: str) -> Failure:
        """Why a process ended that nobody here ended."""
        how = platform.ended_by(returncode)
        killed_for_memory = how == "signal SIGKILL" and platform.out_of_memory_kills() > self._ooms
        kind: FailureClass = "memory" if killed_for_memory else classify(words, _major_minor(self.version)) or "crash"
        match kind:
            case "memory":
                return Failure(kind, f"the renderer ran out of memory ({how}){_last_words(words)}")
            case "infrastructure":
                return Failure(kind, f"the disk is full or read-only ({how}){_last_words(words)}")
            case _:
                return Failure(kind, f"the renderer died in mid-command ({how}){_last_words(words)}")

    async def _end(self, failure: Failure) -> None:
        if self._verdict is None:
            self._verdict = failure
        process = self._process
        if process is None or process.returncode is not None:
            return
        platform.signal_group(process.pid, kill=False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.RENDERER_TERM_S):
                await process.wait()
        platform.signal_group(process.pid, kill=True)
        await process.wait()

    async def _settle_tasks(self) -> None:
        if not self._tasks:
            return
        reading, watching, waiting = self._tasks[:2], self._tasks[2], self._tasks[3]
        await asyncio.wait([waiting])
        for task in (*reading, watching):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def environment(
    daemon: Mapping[str, str], *, home: Path, temporary: Path, cache: Path, ocio: Path | None = None
) -> dict[str, str]:
    """The variables of a renderer: the allowed ones of `daemon`, folders of the peer's own, and the OCIO configuration of a job.

    `cache` outlives the process: compiled kernels and shaders take minutes to make."""
    allowed = {name: daemon[name] for name in ENVIRONMENT if name in daemon}
    own = {
        "HOME": home,
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_CACHE_HOME": cache,
        "CUDA_CACHE_PATH": cache / "cuda",
        "TMPDIR": temporary,
        "TEMP": temporary,
        "TMP": temporary,
        **({} if ocio is None else {"OCIO": ocio}),
    }
    return {**allowed, **{name: str(path) for name, path in own.items()}}


async def _line(reader: asyncio.StreamReader) -> bytes:
    """One line, or nothing at the end. A line without an end, or beyond the limit, is nothing too."""
    try:
        return await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return b""


def _major_minor(version: str) -> tuple[int, int]:
    numbers = [int(part) for part in version.split(".") if part.isascii() and part.isdigit() and len(part) < 5]
    return (numbers[0], numbers[1]) if len(numbers) >= 2 else (0, 0)


def _last_words(words: str) -> str:
    lines = [line for line in words.splitlines() if line.strip()]
    return f"; it last said: {lines[-1][:300]}" if lines else ""
