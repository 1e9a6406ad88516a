from __future__ import annotations

from collections import deque

from protocol.ids import TaskId
from protocol.scheduling.batches import FrameTimes
from protocol.scheduling.slots import Held, Slot, Task
from tests.protocol.making import ANNA, ME, lease, spec


def held(*frames: int, ready: bool = True, inspecting: bool = False) -> Held:
    return Held(lease(*frames, inspect=inspecting), ANNA, spec(), ready, deque(range(len(frames))), inspecting=inspecting)


def times(seconds: float | None) -> FrameTimes:
    known = FrameTimes()
    if seconds is not None:
        known.add(ME, seconds)
    return known


def rendering(one: Held, slot: Slot, *, since_s: float = 0.0) -> Task:
    task = Task(TaskId("t"), 0, one, one.waiting.popleft(), since_s)
    one.under_way.append(task.at)
    slot.in_renderer.append(task)
    return task


def test_a_frame_is_open_until_its_report_is_acknowledged():
    one, slot = held(1, 2, 3), Slot(0)
    task = rendering(one, slot)
    assert one.open_frames() == (1, 2, 3)
    one.under_way.remove(task.at)
    one.unreported.append(task.at)
    assert one.open_frames() == (1, 2, 3)
    one.unreported.clear()
    one.waiting.clear()
    assert one.is_finished


def test_a_slot_knows_how_much_work_is_left():
    slot = Slot(0)
    assert slot.left_s(times(None), 0.0) == 0.0
    one = held(1, 2, 3)
    slot.leases.append(one)
    rendering(one, slot, since_s=10.0)
    assert slot.left_s(times(None), 11.0) is None, "no frame was measured yet"
    assert slot.left_s(times(2.0), 11.0) == 5.0
    assert slot.left_s(times(2.0), 99.0) == 4.0, "a straggler takes at most its own time off the sum"


def test_short_frames_are_handed_over_two_at_a_time():
    for seconds, second in ((None, False), (0.5, True), (3.0, False)):
        slot, one = Slot(0), held(1, 2, 3)
        slot.leases.append(one)
        assert slot.may_start(times(seconds))
        rendering(one, slot)
        assert slot.may_start(times(seconds)) is second
        rendering(one, slot)
        assert not slot.may_start(times(seconds))


def test_a_lease_whose_scene_is_not_here_waits():
    slot = Slot(0, leases=[held(1, ready=False), held(2)])
    first = slot.next_lease()
    assert first is slot.leases[1]


def test_an_inspection_fills_the_slot():
    slot, one = Slot(0), held(inspecting=True)
    slot.leases.append(one)
    assert not slot.is_idle
    slot.in_renderer.append(Task(TaskId("t"), 0, one, -1, 0.0))
    assert not slot.may_start(times(0.1))
    assert slot.left_s(times(0.1), 0.0) is None


def test_a_whole_lease_that_waits_is_reserve_enough():
    slot, one = Slot(0), held(1, 2)
    assert not slot.has_reserve
    slot.leases.append(one)
    assert slot.has_reserve
    rendering(one, slot)
    assert not slot.has_reserve
    slot.leases.append(held(3))
    assert slot.has_reserve
