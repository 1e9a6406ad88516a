"""A session over a driver's process: frames in the order of the calls, their files handed over one by one.

Decides when a session is over. Refuses to know what the driver renders with, and where its process goes afterwards.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peer.ports import Rendered, RenderFailed
from peer.render import reports
from peer.render.handover import hand_over
from peer.render.process import DriverProcess
from protocol.jobs.results import Failure


class DriverSession:
    """A `Session` (see `peer.ports`): one scene open in one process. After `stop` or a death it renders nothing more."""

    def __init__(
        self, process: DriverProcess, release: Callable[[DriverProcess, bool], Any], frame_timeout_s: float | None
    ) -> None:
        self._process = process
        self._release = release
        self._frame_timeout_s = frame_timeout_s
        self._over = False

    @property
    def pid(self) -> int:
        """The process that renders, for tests and logs."""
        return self._process.pid

    async def render(self, frame: int, folder: Path, on_progress: Callable[[float], None]) -> Rendered:
        """See `Session.render`. The process writes into a folder of its own, and what it reports is moved into `folder`:
        neither it nor another one can put anything there."""
        if self._over:
            raise RenderFailed(Failure("infrastructure", "the session is closed"))
        outbox = self._process.outbox()
        command = {"do": "render", "frame": frame, "folder": str(outbox)}
        try:
            answer = await self._process.ask(command, on_progress=on_progress, timeout_s=self._frame_timeout_s)
            rendered = reports.rendered(answer, folder)
            await asyncio.to_thread(hand_over, outbox, folder, [file.name for file in rendered.files], answer.log)
            return rendered
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, outbox, ignore_errors=True)
            raise

    async def stop(self) -> None:
        """See `Session.stop`."""
        await self._finish(reuse=False)

    async def close(self) -> None:
        """Give the process back for the next scene; one that still renders is stopped instead."""
        await self._finish(reuse=not self._process.busy)

    async def _finish(self, *, reuse: bool) -> None:
        if not self._over:
            self._over = True
            await self._release(self._process, reuse)
