"""How this machine and this process are: memory, a write that must reach the disk, the clock, the loop, a GPU.

Decides thresholds only. `peer.selfchecks` asks for it every few seconds; figures that change all the time are told only
with a change of status.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import psutil

Check = tuple[str, Literal["passing", "warning", "critical"], str]
MEMORY_CRITICAL_BYTES: Final = 128 * 2**20
MEMORY_WARNING_BYTES: Final = 512 * 2**20
FSYNC_S: Final = 60.0  # how often it is tried: a disk is not worn out by being asked for its health
FSYNC_WARNING_S: Final = 1.0
FSYNC_CRITICAL_S: Final = 5.0
CLOCK_JUMP_S: Final = 2.0
CLOCK_REMEMBERED_S: Final = 300.0
CLOCK_EARLIEST_S: Final = 1_735_689_600.0  # 2025-01-01: no peer of this version ran before
LOOP_WARNING_S: Final = 5.0
LOOP_CRITICAL_S: Final = 30.0
GPU_DEVICES: Final = ("/dev/nvidia0", "/dev/kfd")
PROBE_NAME: Final = "fsync-probe"


def memory_check(available_bytes: int) -> Check:
    """By what a new process could have without pushing others out."""
    text = f"{available_bytes / 2**30:.1f} GiB available"
    if available_bytes < MEMORY_CRITICAL_BYTES:
        return "memory", "critical", text + "; below 128 MiB the peer takes no work"
    return "memory", "warning" if available_bytes < MEMORY_WARNING_BYTES else "passing", text


def fsync_check(seconds: float | None, error: OSError | None) -> Check:
    """By one small write that was to reach the disk; None: it has not come back yet."""
    if error is not None:
        return "fsync", "critical", f"the data folder cannot be written to: {error.strerror or error}"
    if seconds is None or seconds > FSYNC_CRITICAL_S:
        return "fsync", "critical", f"a write of one byte takes longer than {FSYNC_CRITICAL_S:g} s to reach the disk"
    text = f"a small write reached the disk in {1000 * seconds:.0f} ms"
    return "fsync", "warning" if seconds > FSYNC_WARNING_S else "passing", text


def clock_check(wall_s: float, jump_s: float) -> Check:
    """By the wall clock's date and its last jump. Nothing that peers agree on depends on it: never critical."""
    if wall_s < CLOCK_EARLIEST_S:
        return "clock", "warning", "the date of this machine lies in the past; times that people read are wrong"
    if abs(jump_s) > CLOCK_JUMP_S:
        minutes = f"{CLOCK_REMEMBERED_S / 60:.0f} minutes"
        return "clock", "warning", f"the wall clock jumped by {jump_s:+.1f} s within the last {minutes}"
    return "clock", "passing", "the wall clock runs evenly"


def loop_check(age_s: float) -> Check:
    """By the time since the engine's last turn."""
    if age_s > LOOP_CRITICAL_S:
        return "loop", "critical", f"the engine has not turned for {age_s:.0f} s; the peer's process hangs"
    status: Literal["passing", "warning"] = "warning" if age_s > LOOP_WARNING_S else "passing"
    return "loop", status, "the engine turns" if status == "passing" else f"the engine's last turn is {age_s:.0f} s old"


def gpu_check(present: str, devices: tuple[str, ...]) -> Check:
    """By what the machine has and what the renderers found. Only where there is a GPU."""
    if devices:
        return "gpu", "passing", ", ".join(devices)
    return "gpu", "warning", f"{present} is there, and no renderer found a GPU: is the driver installed for this user?"


class Vitals:
    """Invariant: at most one write for the disk's health is under way, however long it hangs."""

    def __init__(
        self, folder: Path, *, last_turn_s: Callable[[], float], gpus: Callable[[], tuple[str, ...]],
        devices: tuple[str, ...] = GPU_DEVICES, wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`last_turn_s` is when the engine turned last (monotonic); `gpus` what the renderers can compute on."""
        self._folder, self._devices = folder, devices
        self._last_turn_s, self._gpus = last_turn_s, gpus
        self._wall_s, self._monotonic_s = wall_s, monotonic_s
        self._offset_s = wall_s() - monotonic_s()
        self._jump_s, self._jumped_at_s = 0.0, 0.0
        self._writing: asyncio.Future[float] | None = None
        self._written: Check | None = None
        self._write_at_s = monotonic_s()

    async def look(self) -> tuple[Check, ...]:
        """All of them, within about `FSYNC_CRITICAL_S`. Never raises."""
        checks = [
            memory_check(psutil.virtual_memory().available),
            await self._fsync(),
            self._clock(),
            loop_check(self._monotonic_s() - self._last_turn_s()),
        ]
        present = self._gpu()
        return (*checks, gpu_check(present, self._gpus())) if present is not None else tuple(checks)

    def _gpu(self) -> str | None:
        return next((one for one in self._devices if Path(one).exists()), None)

    def _clock(self) -> Check:
        now_s = self._monotonic_s()
        offset_s = self._wall_s() - now_s
        if abs(offset_s - self._offset_s) > CLOCK_JUMP_S:
            self._jump_s, self._jumped_at_s = offset_s - self._offset_s, now_s
        self._offset_s = offset_s
        if now_s - self._jumped_at_s > CLOCK_REMEMBERED_S:
            self._jump_s = 0.0
        return clock_check(self._wall_s(), self._jump_s)

    async def _fsync(self) -> Check:
        if self._writing is None:
            if self._written is not None and self._monotonic_s() < self._write_at_s:
                return self._written
            self._write_at_s = self._monotonic_s() + FSYNC_S
            self._writing = asyncio.ensure_future(asyncio.to_thread(timed_write, self._folder))
            self._writing.add_done_callback(lambda done: done.cancelled() or done.exception())  # heard, if nobody asks any more
        done, _ = await asyncio.wait([self._writing], timeout=FSYNC_CRITICAL_S)
        if not done:
            return fsync_check(None, None)
        writing, self._writing = self._writing, None
        try:
            self._written = fsync_check(writing.result(), None)
        except OSError as error:
            self._written = fsync_check(None, error)
        return self._written


def timed_write(folder: Path) -> float:
    """Seconds that one byte takes to the disk. Raises OSError."""
    path = folder / PROBE_NAME
    began = time.monotonic()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, b"1")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            path.unlink()
    return time.monotonic() - began
