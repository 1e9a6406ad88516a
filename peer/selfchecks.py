"""A peer's checks of itself: disk space, the store, the renderer, and its vitals (`peer.vitals`).

Decides thresholds only; a critical peer takes no work and says why (the roster publishes it).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from peer.vitals import Vitals
from protocol.events import HealthChanged

Check = tuple[str, Literal["passing", "warning", "critical"], str]
DISK_CRITICAL_BYTES = 256 * 2**20
DISK_WARNING_BYTES = 2 * 2**30
CHECK_INTERVAL_S = 5.0
FIGURES = ("disk", "memory", "fsync")  # whose text changes all the time


def disk_check(free_bytes: int, folder: Path) -> Check:
    """By free bytes of the data folder's file system."""
    text = f"{free_bytes / 2**30:.1f} GiB free in {folder}"
    if free_bytes < DISK_CRITICAL_BYTES:
        return "disk", "critical", text + "; make room: below 256 MiB the peer takes no work"
    return "disk", "warning" if free_bytes < DISK_WARNING_BYTES else "passing", text


def store_check(error: Exception | None) -> Check:
    """By the last commit."""
    return ("store", "passing", "the last commit was durable") if error is None else ("store", "critical", str(error))


def renderer_check(found: tuple[str, ...] | None, reasons: tuple[str, ...]) -> Check:
    """By probing: None while it is under way. A peer without a renderer serves and stores, so that is a warning."""
    if found is None:
        return "renderer", "warning", "being probed"
    if not found:
        return "renderer", "warning", "none: " + ("; ".join(reasons) or "not configured")
    return "renderer", "passing", ", ".join(found)


class SelfChecks:
    """Runs the checks every few seconds and at once when told; tells only what has changed."""

    def __init__(self, *, folder: Path, tell: Callable[[HealthChanged], None], vitals: Vitals | None = None) -> None:
        self._folder = folder
        self._tell = tell
        self._vitals = vitals
        self._said: tuple[Check, ...] | None = None
        self._again = asyncio.Event()
        self.store_error: Exception | None = None
        self.renderers: tuple[str, ...] | None = None
        self.reasons: tuple[str, ...] = ()

    def soon(self) -> None:
        """Something has changed: look now."""
        self._again.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            self._again.clear()
            try:
                async with asyncio.timeout(CHECK_INTERVAL_S):
                    await self._again.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Once. Figures alone (free space) are told again only when a status changes."""
        try:
            disk = disk_check((await asyncio.to_thread(shutil.disk_usage, self._folder)).free, self._folder)
        except OSError as error:
            text = f"the data folder {self._folder} is gone: {error.strerror}; restart the peer with another one"
            disk = ("disk", "critical", text)
        vitals = await self._vitals.look() if self._vitals is not None else ()
        checks = (disk, store_check(self.store_error), renderer_check(self.renderers, self.reasons), *vitals)
        if self._said is None or _essence(checks) != _essence(self._said):
            self._said = checks
            self._tell(HealthChanged(checks))


def _essence(checks: tuple[Check, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple((name, status) if name in FIGURES else (name, status, output) for name, status, output in checks)
