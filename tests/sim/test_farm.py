from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from protocol.effects import Inspect, Render, StopTask, Verify
from protocol.events import FrameRendered, FrameVerified, InspectEnded
from protocol.ids import Digest, TaskId
from protocol.jobs.manifest import EMPTY
from protocol.jobs.results import Inspection
from protocol.jobs.spec import render_settings
from tests.protocol.making import JOB, spec
from tests.sim.farm import Farm, Truth
from tests.sim.faults import CALM, Faults

SETTINGS = render_settings(spec())


class Bench:
    """A farm with a clock of its own."""

    def __init__(self, faults: Faults = CALM, *, poison: tuple[int, ...] = ()) -> None:
        self.at = 0.0
        self.events: list[Any] = []
        self.kept: list[Digest] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self.farm = Farm(
            name="p0", speed=1.0, random=Random(1), faults=lambda: faults, tell=self.events.append, has_scene=lambda effect: True,
            truths={JOB: Truth(1.0, poison, Inspection(frame_end=9))}, keep=lambda digest, size: self.kept.append(digest),
            later=lambda seconds, action: self._due.append((self.at + seconds, len(self._due), action)),
        )  # fmt: skip

    def render(self, *frames: int, slot: int = 0) -> None:
        for frame in frames:
            self.farm.start(Render(TaskId(f"t{frame}"), slot, JOB, EMPTY, SETTINGS, frame, None, "job"))

    def run(self) -> list[Any]:
        while self._due:
            self._due.sort(key=lambda entry: entry[:2])
            self.at, _, action = self._due.pop(0)
            action()
        return self.events


def test_frames_of_a_slot_are_rendered_one_after_the_other():
    bench = Bench()
    bench.render(1, 2)
    bench.render(3, slot=1)
    ends = [event.task for event in bench.run() if isinstance(event, FrameRendered)]
    assert sorted(ends) == ["t1", "t2", "t3"]
    assert ends.index(TaskId("t1")) < ends.index(TaskId("t2"))
    assert bench.at > 1.0


def test_a_frame_has_bytes_once_it_is_verified_and_the_same_pixels_everywhere():
    bench = Bench()
    bench.render(1)
    bench.run()
    assert bench.kept == []
    bench.farm.verify(Verify(TaskId("t1"), JOB))
    (end,) = [event for event in bench.run() if isinstance(event, FrameVerified)]
    assert [output.digest for output in end.result.outputs] == bench.kept


def test_poison_frames_fail_always_and_others_when_memory_runs_out():
    bench = Bench(poison=(2,))
    bench.render(1, 2)
    kinds = [event.result.failure and event.result.failure.kind for event in bench.run() if isinstance(event, FrameRendered)]
    assert kinds == [None, "crash"]
    bench = Bench(Faults(memory=1.0))
    bench.render(1)
    (end,) = [event for event in bench.run() if isinstance(event, FrameRendered)]
    assert end.result.failure is not None
    assert end.result.failure.kind == "memory"


def test_a_stopped_task_still_comes_back_once():
    bench = Bench()
    bench.render(1, 2)
    bench.farm.stop(StopTask(TaskId("t1")))
    bench.farm.stop(StopTask(TaskId("t2")))
    ends = [event for event in bench.run() if isinstance(event, FrameRendered)]
    assert [event.task for event in ends] == ["t1", "t2"]
    assert all(event.result.failure is not None and event.result.failure.kind == "infrastructure" for event in ends)


def test_an_inspection_finds_the_truth():
    bench = Bench()
    bench.farm.start(Inspect(TaskId("i"), 0, JOB, EMPTY, SETTINGS))
    (end,) = [event for event in bench.run() if isinstance(event, InspectEnded)]
    assert end.inspection.frame_end == 9
