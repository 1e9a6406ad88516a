"""A workshop at work: what it is given, what it has told, and shorthands to ask for frames and wait for their ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from peer.workshop import Workshop
from protocol.effects import Inspect, Render, Verify
from protocol.events import Event, FrameRendered, FrameVerified, InspectEnded
from protocol.ids import Digest, JobId, TaskId
from protocol.jobs.manifest import Manifest, ManifestEntry
from protocol.jobs.results import FrameResult, Inspection
from protocol.jobs.spec import RenderSettings
from tests.fakes.memory_store import MemoryBlobs, digest_of
from tests.fakes.workbench import FakeRenderer, FakeSession, FakeVerifier
from tests.waiting import wait_until

JOB = JobId("cd" * 16)
SCENE = b"a scene"
MANIFEST = Manifest("shot.blend", (ManifestEntry("shot.blend", digest_of(SCENE), len(SCENE)),))
SETTINGS = RenderSettings(samples=4)


EndT = TypeVar("EndT", FrameRendered, FrameVerified, InspectEnded)


def kind_of(result: FrameResult | Inspection) -> str:
    """The class of the failure that it must be."""
    failure = result.failure if isinstance(result, FrameResult) else result.error
    assert failure is not None
    return failure.kind


def log_of(result: FrameResult) -> Digest:
    """The log that it must have."""
    assert result.log is not None
    return result.log


class LoglessBlobs(MemoryBlobs):
    """A store that takes pictures in and has no room for logs while `full` is set."""

    full: Exception | None = None

    async def take_many(self, contents: Sequence[bytes]) -> list[tuple[Digest, int]]:
        if self.full is not None:
            raise self.full
        return await super().take_many(contents)


@dataclass(slots=True)
class Shop:
    """A workshop that runs, what it works with, and the events that it has told."""

    workshop: Workshop
    renderer: FakeRenderer
    verifier: FakeVerifier
    blobs: LoglessBlobs
    folder: Path
    events: list[Event]
    running: asyncio.Task[None]

    def render(self, number: int, *, slot: int = 0, settings: RenderSettings = SETTINGS, manifest: Manifest = MANIFEST) -> TaskId:
        task = TaskId(f"t{number}")
        self.workshop.render(Render(task, slot, JOB, manifest, settings, number, None, "shot"))
        return task

    def inspect(self, number: int = 99, *, settings: RenderSettings = SETTINGS, manifest: Manifest = MANIFEST) -> TaskId:
        task = TaskId(f"i{number}")
        self.workshop.inspect(Inspect(task, 0, JOB, manifest, settings))
        return task

    @property
    def session(self) -> FakeSession:
        return self.renderer.sessions[-1]

    async def rendering(self, number: int) -> FakeSession:
        """Wait until this frame is in a renderer's hands; its session."""
        await wait_until(lambda: any(session.rendering == number for session in self.renderer.sessions))
        return next(session for session in self.renderer.sessions if session.rendering == number)

    def ends(self, kind: type[EndT]) -> list[EndT]:
        return [event for event in self.events if isinstance(event, kind)]

    async def rendered(self, task: TaskId) -> FrameResult:
        return (await self._one(FrameRendered, task)).result

    async def verified(self, task: TaskId) -> FrameResult:
        self.workshop.verify(Verify(task, JOB))
        return (await self._one(FrameVerified, task)).result

    async def looked(self, task: TaskId) -> Inspection:
        return (await self._one(InspectEnded, task)).inspection

    async def _one(self, kind: type[EndT], task: TaskId) -> EndT:
        await wait_until(lambda: [event for event in self.ends(kind) if event.task == task])
        return next(event for event in self.ends(kind) if event.task == task)

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())
