"""What the engine stands between, each under a test's control: a node that says what it is told to, hands that write down
what they are given, and a journal whose disk can be made to stall."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from protocol.effects import (
    BelieveSalt,
    Compare,
    Deliver,
    Effect,
    FetchBlobs,
    Inspect,
    Notice,
    Render,
    RunCheck,
    SendDatagram,
    SendStream,
    SendToSeed,
    StopTask,
    UseKeys,
    Verify,
)
from protocol.events import Event
from protocol.ids import AuthorId
from protocol.jobs.manifest import Manifest
from protocol.jobs.results import Inspection
from protocol.jobs.spec import RenderSettings
from protocol.kernel import Now
from protocol.records import Record
from tests.fakes.memory_store import MemoryJournal


class ScriptedNode:
    """As much of `protocol.node.Node` as the engine drives: each event is answered with the next effects of the script.

    `deadline` is what it wants to be called at; `due` makes the effects then (and should move the deadline)."""

    author = AuthorId("a" * 16)

    def __init__(self) -> None:
        self.script: deque[list[Effect]] = deque()
        self.heard: list[Event | str] = []
        self.deadline: float | None = None
        self.due: Callable[[Now], list[Effect]] = self._once

    def _once(self, _now: Now) -> list[Effect]:
        self.deadline = None
        return []

    def start(self, event: Event, now: Now) -> list[Effect]:
        return self.handle(event, now)

    def handle(self, event: Event, _now: Now) -> list[Effect]:
        self.heard.append(event)
        return self.script.popleft() if self.script else []

    def on_deadline(self, now: Now) -> list[Effect]:
        self.heard.append("deadline")
        return self.due(now)

    def next_deadline(self) -> float | None:
        return self.deadline


class RecordingHands:
    """Satisfies `peer.engine.Hands`. `done` is everything in the order in which it was to be performed."""

    def __init__(self) -> None:
        self.done: list[Effect] = []
        self.commits: list[int] = []
        self.store_said: list[Exception | None] = []

    def send_datagram(self, effect: SendDatagram) -> None:
        self.done.append(effect)

    def send_stream(self, effect: SendStream) -> None:
        self.done.append(effect)

    def send_to_seed(self, effect: SendToSeed) -> None:
        self.done.append(effect)

    def believe(self, effect: BelieveSalt) -> None:
        self.done.append(effect)

    def fetch(self, effect: FetchBlobs) -> None:
        self.done.append(effect)

    def render(self, effect: Render) -> None:
        self.done.append(effect)

    def verify(self, effect: Verify) -> None:
        self.done.append(effect)

    def inspect(self, effect: Inspect) -> None:
        self.done.append(effect)

    async def look(self, manifest: Manifest, settings: RenderSettings) -> Inspection:
        return Inspection(scene=manifest.main)

    def stop(self, effect: StopTask) -> None:
        self.done.append(effect)

    def deliver(self, effect: Deliver) -> None:
        self.done.append(effect)

    def check(self, effect: RunCheck) -> None:
        self.done.append(effect)

    def compare(self, effect: Compare) -> None:
        self.done.append(effect)

    def use_keys(self, effect: UseKeys) -> None:
        self.done.append(effect)

    def notice(self, effect: Notice) -> None:
        self.done.append(effect)

    def commit_took(self, seconds: float, rows: int) -> None:
        self.commits.append(rows)

    def store_failed(self, error: Exception | None) -> None:
        self.store_said.append(error)


class StallingJournal(MemoryJournal):
    """A journal on a disk that stops answering between `stall()` and `resume()`. `waiting` counts commits that hang."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self._moves = asyncio.Event()
        self._moves.set()

    def stall(self) -> None:
        self._moves.clear()

    def resume(self) -> None:
        self._moves.set()

    async def commit(self, records: Sequence[Record]) -> None:
        self.waiting += 1
        await self._moves.wait()
        self.waiting -= 1
        await super().commit(records)
