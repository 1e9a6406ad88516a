"""Commands under way in a renderer's process: their order, their progress, their results. No processes, no pipes, no clock.

A driver does one command at a time in the order sent; the daemon may send many ahead.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from peer.ports import RenderFailed
from protocol import limits
from protocol.jobs.results import Failure, FailureClass, recordable

Progress = Callable[[float], None]
_KINDS: Final[tuple[FailureClass, ...]] = get_args(FailureClass)


@dataclass(slots=True)
class Answer:
    """The driver's result of one command, and what the renderer printed meanwhile."""

    result: dict[str, Any]
    log: str


@dataclass(slots=True)
class Request:
    """One command. `began` turns true when the driver has taken it up; progress only rises, from 0 to 1."""

    number: int
    label: str
    on_progress: Progress | None
    timeout_s: float | None
    future: asyncio.Future[Answer]
    began: bool = False
    timer: asyncio.TimerHandle | None = None
    log: str | None = None
    report: dict[str, Any] | None = None
    progress: float = 0.0
    layers: int = 1
    _finished_layers: int = 0
    _sample: int = 0

    def sample(self, done: int, total: int) -> None:
        """`done` of `total` samples of the current view layer; falling numbers mean that the next layer has begun."""
        if done < self._sample:
            self._finished_layers = min(self._finished_layers + 1, self.layers - 1)
        self._sample = done
        self.advance((self._finished_layers + min(1.0, done / max(1, total))) / max(1, self.layers))

    def advance(self, progress: float) -> None:
        """Tell the caller, when it is news."""
        if progress > self.progress:
            self.progress = min(1.0, progress)
            if self.on_progress is not None:
                self.on_progress(self.progress)

    def settle(self) -> None:
        """Resolve with the driver's report; called when the report and the end of the log have both arrived."""
        if self.report is None or self.future.done():
            return
        result = self.report.get("result")
        if self.report["event"] == "done" and isinstance(result, dict):
            self.advance(1.0)
            self.future.set_result(Answer(result, self.log or ""))
        else:
            self.fail(_failure(self.report), self.log or "")

    def fail(self, failure: Failure, log: str = "") -> None:
        """Resolve with a failure, unless it is resolved already."""
        if self.timer is not None:
            self.timer.cancel()
        if not self.future.done():
            self.future.set_exception(RenderFailed(failure, log=log))


def _failure(report: dict[str, Any]) -> Failure:
    """The driver's own words for what went wrong; a class that there is not is its fault."""
    kind: FailureClass = next((known for known in _KINDS if known == report.get("kind")), "renderer")
    return Failure(kind, recordable(str(report.get("reason", "it gave no reason"))))


@dataclass(slots=True)
class Requests:
    """The queue. Invariant: only the first may have begun; at most `limits.DRIVER_REQUESTS_MAX` of them."""

    _waiting: deque[Request] = field(default_factory=deque)
    _numbers: int = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def new(self, label: str, on_progress: Progress | None, timeout_s: float | None) -> Request:
        """Queue a command. Raises `RenderFailed` (infrastructure) when too many wait already."""
        if len(self._waiting) >= limits.DRIVER_REQUESTS_MAX:
            raise RenderFailed(Failure("infrastructure", "too many frames are queued in one renderer"))
        self._numbers += 1
        request = Request(self._numbers, label, on_progress, timeout_s, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        return request

    @property
    def running(self) -> Request | None:
        """The one that the driver has taken up and not yet answered."""
        first = self._waiting[0] if self._waiting else None
        return first if first is not None and first.began and first.report is None else None

    def find(self, number: object) -> Request | None:
        """The one with that number, or None: it was answered, or there never was one."""
        return next((request for request in self._waiting if request.number == number), None)

    def drop(self, request: Request) -> None:
        """Take one out that is answered."""
        if request in self._waiting:
            self._waiting.remove(request)

    def take_all(self) -> list[Request]:
        """Empty the queue, in its order."""
        everyone = list(self._waiting)
        self._waiting.clear()
        return everyone
