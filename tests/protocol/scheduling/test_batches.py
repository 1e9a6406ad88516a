from __future__ import annotations

import pytest

from protocol import limits
from protocol.scheduling.batches import FrameTimes, batch_size
from tests.protocol.making import ANNA, BEN, CARL


def test_a_straggler_does_not_change_what_is_typical():
    times = FrameTimes()
    for seconds in (1.0, 1.0, 100.0, 1.0, 1.1):
        times.add(ANNA, seconds)
    assert times.of(ANNA) == 1.0
    assert times.typical() == 1.0


def test_a_peer_that_was_not_measured_is_taken_as_typical():
    times = FrameTimes()
    assert times.speed(CARL) is None
    times.add(ANNA, 1.0)
    times.add(BEN, 3.0)
    assert times.of(CARL) is None
    assert times.speed(CARL) == 0.5


def test_a_frame_that_took_no_time_does_not_divide_by_zero():
    times = FrameTimes()
    times.add(ANNA, 0.0)
    assert times.speed(ANNA) == 10_000


@pytest.mark.parametrize(
    ("remaining", "own", "total", "measured", "size"),
    [
        (1000, None, 0.0, False, 1),  # nothing is known
        (1000, 1.0, 2.0, False, 1),  # never seen on this job
        (1000, 1.0, 1.0, True, 30),  # 30 s of work
        (1000, 0.01, 1.0, True, 1),  # a frame takes longer than that
        (8, 1.0, 2.0, True, 2),  # half of the fair share of what remains
        (1, 9.0, 9.0, True, 1),
        (100_000, 1e4, 1e4, True, limits.FRAMES_PER_BATCH_MAX),
    ],
)
def test_batches_are_sized_by_time(remaining: int, own: float | None, total: float, measured: bool, size: int):
    assert batch_size(remaining=remaining, own=own, total=total, measured=measured) == size
