"""The renderers of one host: log-normal frame times, stragglers, lack of memory, poison frames, inspections.

`Truth` is what a job's scene is really like; renderers find it out, machines never see it.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import exp
from random import Random

from protocol.effects import Inspect, Render, StopTask, Verify
from protocol.events import Event, FrameProgressed, FrameRendered, FrameVerified, InspectEnded
from protocol.ids import Digest, JobId, TaskId
from protocol.jobs.results import Failure, FrameResult, Inspection, Output, SceneWarning
from tests.sim.faults import Faults

CV = 0.3
LOG_BYTES = 500
LOST_SCENE = Failure("infrastructure", "a file of the scene was damaged")


@dataclass(frozen=True, slots=True)
class Truth:
    """What a scene is: seconds per frame on a peer of speed 1, frames that break every renderer, what inspection finds."""

    seconds: float
    poison: tuple[int, ...]
    inspection: Inspection
    logs: bool = False
    varies: bool = False  # its pixels are others on each host


def make_truth(random: Random, faults: Faults, *, frames: range) -> Truth:
    """Draw one scene."""
    poison = tuple(frame for frame in frames if random.random() < faults.poison)
    error = Failure("scene", "the file is cut short") if random.random() < faults.broken_scene else None
    warnings: tuple[SceneWarning, ...] = ()
    if random.random() < faults.warning:
        warnings = (SceneWarning("missing_file", "picture", "wood.png is missing", "send it"),)
    seen = Inspection(
        blender="5.0.1", scene="Scene", camera="Camera", engine="CYCLES", frame_start=frames[0], frame_end=frames[-1],
        width=64, height=64, format="PNG", warnings=warnings, error=error,
    )  # fmt: skip
    return Truth(0.002 * 1000 ** random.random(), poison, seen, random.random() < 0.5)


def digest_of(*parts: object) -> Digest:
    """A digest that depends on `parts` alone."""
    return Digest(hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=32).hexdigest())


@dataclass(slots=True)
class _Work:
    effect: Render | Inspect
    stopped: bool = False
    running: bool = False


class Farm:
    """Invariants: one frame at a time in each slot, in order; every task comes back as exactly one event."""

    def __init__(
        self,
        *,
        name: str,
        speed: float,
        random: Random,
        faults: Callable[[], Faults],
        truths: dict[JobId, Truth],
        later: Callable[[float, Callable[[], None]], None],
        tell: Callable[[Event], None],
        keep: Callable[[Digest, int], None],
        has_scene: Callable[[Render | Inspect], bool],
        kernel: str = "",
        lies: Callable[[], bool] = lambda: False,
        pictures: dict[Digest, Digest] | None = None,
    ) -> None:
        """`kernel` changes the last bits of a picture, `lies` the picture; `pictures` takes what each blob shows."""
        self._name = name
        self._speed = speed
        self._random = random
        self._faults = faults
        self._truths = truths
        self._later = later
        self._tell = tell
        self._keep = keep
        self._has_scene = has_scene
        self._kernel = kernel
        self._lies = lies
        self._pictures: dict[Digest, Digest] = {} if pictures is None else pictures
        self._slots: dict[int, deque[_Work]] = {}
        self._rendered: dict[TaskId, tuple[Render, float]] = {}

    def start(self, effect: Render | Inspect) -> None:
        """Queue a frame or an inspection in its slot."""
        work = _Work(effect)
        slot = self._slots.setdefault(effect.slot, deque())
        slot.append(work)
        if len(slot) == 1:
            self._next(slot)

    def stop(self, effect: StopTask) -> None:
        """End a task soon; its event still comes."""
        for slot in self._slots.values():
            for work in slot:
                if work.effect.task == effect.task and not work.stopped:
                    work.stopped = True
                    if work.running:
                        self._later(0.05, lambda slot=slot, work=work: self._end(slot, work, 0.05))  # type: ignore[misc]

    def verify(self, effect: Verify) -> None:
        """Decode and take in what a task has left."""
        render, seconds = self._rendered.pop(effect.task)
        self._later(self._random.uniform(0.005, 0.05), lambda: self._verified(render, seconds))

    def _next(self, slot: deque[_Work]) -> None:
        if not slot:
            return
        work = slot[0]
        work.running = True
        if work.stopped:
            self._later(0.0, lambda: self._end(slot, work, 0.0))
            return
        truth = self._truths[work.effect.job]
        if isinstance(work.effect, Inspect):
            seconds = self._random.uniform(0.2, 1.5) / self._speed
        else:
            seconds = truth.seconds * exp(self._random.gauss(-CV * CV / 2, CV)) / self._speed
            if self._random.random() < self._faults().straggler:
                seconds *= 10
            self._progress(work.effect.task, seconds)
        self._later(seconds, lambda: self._end(slot, work, seconds))

    def _progress(self, task: TaskId, seconds: float) -> None:
        if self._random.random() < self._faults().progress:
            self._tell(FrameProgressed(task, 0.0))
            self._later(seconds / 2, lambda: self._tell(FrameProgressed(task, 0.5)))

    def _end(self, slot: deque[_Work], work: _Work, seconds: float) -> None:
        if not slot or slot[0] is not work:
            return  # it was stopped before
        slot.popleft()
        effect = work.effect
        if isinstance(effect, Inspect):
            self._tell(InspectEnded(effect.task, self._seen(effect, stopped=work.stopped)))
        else:
            failure = self._failure(effect, stopped=work.stopped)
            if failure is None:
                self._rendered[effect.task] = (effect, seconds)
            self._tell(FrameRendered(effect.task, FrameResult((), failure, seconds)))
        self._next(slot)

    def _seen(self, effect: Inspect, *, stopped: bool) -> Inspection:
        if stopped:
            return Inspection(error=Failure("infrastructure", "stopped"))
        if self._random.random() < self._faults().inspect_crash:
            return Inspection(error=Failure("crash", "the renderer died on opening"))
        if not self._has_scene(effect):
            return Inspection(error=LOST_SCENE)
        return self._truths[effect.job].inspection

    def _failure(self, effect: Render, *, stopped: bool) -> Failure | None:
        if stopped:
            return Failure("infrastructure", "stopped")
        if not self._has_scene(effect):
            return LOST_SCENE
        if effect.frame in self._truths[effect.job].poison:
            return Failure("crash", "the renderer died")
        if self._random.random() < self._faults().memory:
            return Failure("memory", "out of memory")
        return None

    def _verified(self, render: Render, seconds: float) -> None:
        if self._random.random() < self._faults().verify:
            failure = Failure("verification", "the picture does not decode")
            self._tell(FrameVerified(render.task, FrameResult((), failure, seconds)))
            return
        job, frame = render.job, render.frame
        wrong = ("wrong", self._name) if self._lies() else ()
        digest, log = digest_of(job, frame, self._name, *wrong), digest_of(job, frame, render.task, self._name)
        whose = self._name if self._truths[job].varies else self._kernel
        pixels = digest_of("pixels", job, frame, whose, *wrong)
        self._pictures[digest] = digest_of("picture", job, frame, *wrong)
        output = Output("main", f"{frame:04d}.png", digest, pixels, 10_000 + frame, 64, 64, 3, "PNG")
        self._keep(digest, output.size)
        has_log = self._truths[job].logs
        if has_log:
            self._keep(log, LOG_BYTES)
        self._tell(
            FrameVerified(
                render.task, FrameResult((output,), None, seconds, "cpu", log if has_log else None, LOG_BYTES if has_log else 0)
            )
        )
