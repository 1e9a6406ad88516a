from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.scheduling.queue import EVERY_NTH, FrameQueue, order_positions


def all_of(count: int, order: str = "sequential") -> tuple[FrameQueue, list[bool]]:
    pending = [True] * count
    return FrameQueue(count, order, is_pending=lambda at: pending[at]), pending


def take(queue: FrameQueue, pending: list[bool], count: int, avoid: list[int] | None = None) -> list[int]:
    taken = queue.take(count, avoid=lambda at: at in (avoid or []))
    for at in taken:
        pending[at] = False
    return taken


@pytest.mark.parametrize("order", ["sequential", "every-nth", "middle"])
@given(count=st.integers(0, 100))
def test_every_order_names_every_position_once(order: str, count: int):
    assert sorted(order_positions(count, order)) == list(range(count))


def test_orders_are_what_their_names_say():
    assert list(order_positions(4, "sequential")) == [0, 1, 2, 3]
    assert list(order_positions(5, "middle")) == [2, 1, 3, 0, 4]
    assert list(order_positions(20, "every-nth"))[:4] == [0, EVERY_NTH, 2 * EVERY_NTH, 1]


def test_a_frame_that_comes_back_is_next():
    queue, pending = all_of(5)
    assert take(queue, pending, 3) == [0, 1, 2]
    pending[1] = True
    queue.put_back(1)
    assert take(queue, pending, 2) == [1, 3]


def test_frames_that_are_avoided_stay_for_somebody_else():
    queue, pending = all_of(3)
    assert take(queue, pending, 2, avoid=[0, 1]) == [2]
    assert len(queue) == 2
    assert take(queue, pending, 3) == [0, 1]


def test_a_frame_that_was_settled_meanwhile_is_not_handed_out():
    queue, pending = all_of(3)
    pending[0] = False
    queue.removed()
    assert len(queue) == 2
    assert take(queue, pending, 3) == [1, 2]


@given(st.lists(st.tuples(st.sampled_from(["take", "back", "settle"]), st.integers(0, 9)), max_size=60))
def test_whatever_happens_a_position_is_handed_out_once_and_the_length_is_true(steps: list[tuple[str, int]]):
    queue, pending = all_of(10)
    out: list[int] = []
    for what, number in steps:
        if what == "take":
            taken = take(queue, pending, 1 + number % 3, avoid=[number])
            assert not set(taken) & set(out)
            out += taken
        elif what == "back" and number in out:
            out.remove(number)
            pending[number] = True
            queue.put_back(number)
        elif what == "settle" and pending[number]:
            pending[number] = False
            queue.removed()
        assert len(queue) == sum(pending)
    rest = [at for at in range(10) if pending[at]]
    assert sorted(take(queue, pending, 10)) == rest
