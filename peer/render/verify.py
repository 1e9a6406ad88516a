"""The verifier: a small pool of limited child processes that decode images; the daemon itself never decodes one.

Decides when a child is started, restarted and given up on. Refuses to know what an image is: that is `verify_child`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import structlog

import peer
from peer.ports import RenderFailed, ReportedFile, VerifiedFile
from peer.render.sandbox import OPEN, Reach, Sandbox, interpreter, start
from protocol import limits
from protocol.ids import is_hex
from protocol.jobs.results import Failure, recordable

_MODULE: Final = "peer.render.verify_child"
_ROOT: Final = Path(peer.__file__).parent.parent
_TRIES: Final = 2
_CLOSE_S: Final = 1.0
_OUT_OF_CPU: Final = "SIGXCPU"

log = structlog.get_logger(__name__)


class _Died(Exception):
    """The child ended in the middle of a request; the text says how."""


@dataclass(frozen=True, slots=True)
class VerifierOptions:
    """`children` decode at the same time; `wall_s_max` is the longest that one file may take, in seconds.

    Inside `sandbox` they read files below the folders `read` and write none."""

    children: int = 1
    wall_s_max: float = limits.VERIFY_WALL_S_MAX
    sandbox: Sandbox = OPEN
    read: tuple[Path, ...] = ()


class ChildVerifier:
    """A `Verifier` (see `peer.ports`) over persistent child processes.

    Invariants: a child has at most one request; a child that was interrupted in one is killed, never reused; a child
    is started at the first request that needs it and ends with `close`, with the daemon, or when its pipe closes.
    A request whose child dies is tried once more in a fresh child: a second death is the file's fault.
    """

    def __init__(self, options: VerifierOptions = VerifierOptions()) -> None:
        if options.children < 1:
            raise ValueError("a verifier needs at least one child")
        self._options = options
        self._idle: asyncio.LifoQueue[_Child] = asyncio.LifoQueue()
        self._children = [_Child(options) for _ in range(options.children)]
        for child in self._children:
            self._idle.put_nowait(child)

    @property
    def pids(self) -> list[int]:
        """The process ids of the children that run."""
        return [child.pid for child in self._children if child.pid is not None]

    async def verify(self, files: Sequence[ReportedFile]) -> list[VerifiedFile]:
        """Decode every part of every file, compare with the report, hash the pixels; in the order of `files`.

        Raises `RenderFailed`: `verification` names the file and the fault; `infrastructure` when no child starts.
        """
        if not files:
            raise _failed("verification", "the renderer reported no file")
        if len(files) > limits.OUTPUTS_PER_FRAME_MAX:
            raise _failed("verification", f"{len(files)} files in one frame, more than {limits.OUTPUTS_PER_FRAME_MAX}")
        child = await self._idle.get()
        try:
            return [await self._verify_one(child, file) for file in files]
        finally:
            self._idle.put_nowait(child)

    async def compare(self, one: Path, other: Path, outliers: float) -> tuple[bool, str]:
        """See `peer.comparing.Judge`."""
        request = {"path": str(one), "other": str(other), "outliers": outliers}
        child = await self._idle.get()
        try:
            async with asyncio.timeout(self._options.wall_s_max):
                answer = await child.ask(request)
        except TimeoutError:
            raise _failed("infrastructure", f"takes longer than {self._options.wall_s_max:g} s to compare") from None
        except _Died as death:
            raise _failed("infrastructure", f"the decoder died of it ({death})") from None
        finally:
            self._idle.put_nowait(child)
        agree, farthest, apart = answer.get("agree"), answer.get("farthest"), answer.get("apart")
        if type(agree) is not bool or type(farthest) is not float or type(apart) is not float:
            raise _failed("infrastructure", str(answer.get("fault", "the decoder's answer is not one of ours")))
        return agree, "of different make" if farthest < 0 else f"at most {farthest:.3g} apart, {apart:.3g} of the samples visibly"

    async def close(self) -> None:
        """End every child and wait until it is gone."""
        for child in self._children:
            await child.end()

    async def _verify_one(self, child: _Child, file: ReportedFile) -> VerifiedFile:
        died = ""
        for _ in range(_TRIES):
            try:
                async with asyncio.timeout(self._options.wall_s_max):
                    answer = await child.ask(_request(file))
            except TimeoutError:
                text = f"{file.name}: takes longer than {self._options.wall_s_max:g} s to decode"
                raise _failed("verification", text) from None
            except _Died as death:
                died = str(death)
                log.warning("verifier_died", file=file.name, how=died)
                if died == _OUT_OF_CPU:
                    break
                continue
            return _verified(file, answer)
        raise _failed("verification", f"{file.name}: the decoder died of it ({died})")


class _Child:
    """One child process, or none yet. `ask` starts it; an `ask` that does not end well leaves none behind."""

    def __init__(self, options: VerifierOptions) -> None:
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self._count = 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request, one answer. Raises `_Died`, or `RenderFailed` when the child cannot start."""
        try:
            if self._process is None:
                await self._begin()
            self._count += 1
            await self._write(request | {"id": self._count})
            answer = await self._read()
            if answer.get("id") != self._count:
                raise _Died("out of step")
        except BaseException:
            await asyncio.shield(self._kill())
            raise
        return answer

    async def end(self) -> None:
        """Close its pipe, which ends an idle child; kill it if that does not end it at once."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await process.wait()
        await self._kill()

    async def _begin(self) -> None:
        """Start the process and hear its greeting. What goes wrong here is no fault of the file."""
        self._process = await _start(self._options)
        try:
            async with asyncio.timeout(limits.VERIFY_START_S_MAX):
                hello = await self._read()
        except (TimeoutError, _Died) as error:
            raise _failed("infrastructure", f"the image verifier does not start ({str(error) or 'no answer in time'})") from None
        if "ready" not in hello:
            raise _failed("infrastructure", f"the image verifier does not start: {hello.get('broken', 'no greeting')}")

    async def _write(self, request: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise _Died(await self._how()) from None

    async def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            answer = json.loads(line) if line.endswith(b"\n") else None
        except (ValueError, RecursionError):
            raise _Died("its answer is not one of ours") from None
        if not isinstance(answer, dict):
            raise _Died(await self._how())
        return answer

    async def _how(self) -> str:
        """How the process ended; its pipe is closed, so it is ending."""
        assert self._process is not None
        code = self._options.sandbox.returncode(await self._process.wait())
        if code >= 0:
            return f"exit code {code}"
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
        return f"signal {-code}"

    async def _kill(self) -> None:
        """SIGKILL to its process group, and wait: nothing of it is left."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await process.stdin.wait_closed()


async def _start(options: VerifierOptions) -> asyncio.subprocess.Process:
    """A child with an environment of our own: no library of somebody's choice gets into it."""
    code = (_ROOT / "peer", _ROOT / "protocol")
    command: tuple[str, ...] = (sys.executable, "-P", "-X", "utf8", "-m", _MODULE)
    if options.sandbox.level == "none":
        command = (*command, str(os.getpid()))
    else:  # there the launcher sees to it that it ends with this process
        command = start(options.sandbox, Reach(run=(*interpreter(), *code), read=options.read, list=(_ROOT,)), (*command, "0"))
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PYTHONPATH": str(_ROOT), "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            limit=limits.VERIFY_LINE_BYTES_MAX,
            start_new_session=True,  # also without the daemon's terminal
        )
    except OSError as error:
        raise _failed("infrastructure", f"the image verifier does not start: {error.strerror}") from error


def _request(file: ReportedFile) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "width": file.width,
        "height": file.height,
        "channels": file.channels,
        "format": file.format,
    }


def _verified(file: ReportedFile, answer: dict[str, Any]) -> VerifiedFile:
    fault = answer.get("fault")
    if fault is not None:
        raise _failed("verification", f"{file.name}: {fault}")
    nans, pixel_hash = answer.get("nans"), answer.get("pixel_hash")
    if type(nans) is not int or not isinstance(pixel_hash, str) or not is_hex(pixel_hash, 64):
        raise _failed("verification", f"{file.name}: the decoder's answer is not one of ours")
    if nans > 0:
        log.warning("image_has_nans", file=file.name, nans=nans)
    return VerifiedFile(file, pixel_hash, nans)


def _failed(kind: Literal["verification", "infrastructure"], reason: str) -> RenderFailed:
    return RenderFailed(Failure(kind, recordable(reason)))
