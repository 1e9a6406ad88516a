"""Comparing renders of one frame: performs `Compare`, and answers each with one `Compared`.

Refuses to know whose they are. Pictures are decoded by the verifier's children, from links in the work folder, which is what
these can read.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

from peer.ports import Blobs, RenderFailed
from protocol.effects import Compare
from protocol.events import Compared
from protocol.ids import Digest


class Judge(Protocol):
    """Decodes in a limited child process; see `peer.render.verify.ChildVerifier`."""

    async def compare(self, one: Path, other: Path, outliers: float) -> tuple[bool, str]:
        """Whether of the samples of two pictures at most the share `outliers` is more than a step of 8 bits apart, and in words
        how far apart they are. Raises `RenderFailed` (`infrastructure`) when it cannot be told."""
        ...


class Comparer:
    """Invariant: nothing stays in the work folder."""

    def __init__(self, *, judge: Judge, blobs: Blobs, folder: Path, tell: Callable[[Compared], None]) -> None:
        self._judge = judge
        self._blobs = blobs
        self._folder = folder
        self._tell = tell
        self._tasks: set[asyncio.Task[None]] = set()

    def compare(self, effect: Compare) -> None:
        """Begin with it; the answer comes as an event."""
        self._own(self._compare(effect))

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _compare(self, effect: Compare) -> None:
        agree: bool | None = True
        text = "nothing to compare"
        try:
            for one, other in effect.pairs:
                agree, text = await self._pair(one, other, effect.outliers)
                if not agree:
                    break
        except RenderFailed as error:
            agree, text = None, error.failure.reason
        except Exception as error:
            agree, text = None, str(error) or type(error).__name__
        self._tell(Compared(effect.ticket, agree if effect.pairs else None, text))

    async def _pair(self, one: Digest, other: Digest, outliers: float) -> tuple[bool, str]:
        first, second = links = self._new(), self._new()
        try:
            for digest, link in zip((one, other), links, strict=True):
                found = await self._blobs.path(digest)
                if found is None:
                    raise FileNotFoundError(f"{digest[:8]} is not here any more")
                await asyncio.to_thread(_link, found, link)
            return await self._judge.compare(first, second, outliers)
        finally:
            for link in links:
                await asyncio.to_thread(link.unlink, missing_ok=True)

    def _new(self) -> Path:
        return self._folder / f"compare-{secrets.token_hex(8)}"

    async def close(self) -> None:
        """Stop what is being compared."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _link(blob: Path, link: Path) -> None:
    try:
        os.link(blob, link)
    except OSError:  # on another file system
        shutil.copyfile(blob, link)
