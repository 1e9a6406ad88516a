from __future__ import annotations

import pytest

from protocol.ids import PeerId
from protocol.membership.suspicion import QUESTIONS, STREAM_QUESTION, Suspicion, suspicion_bounds, suspicion_timeout

A, B, C = (PeerId(char * 64) for char in "abc")


@pytest.mark.parametrize(
    ("confirmations", "elapsed", "remaining"),
    [(0, 0, 30), (1, 2, 14), (2, 3, 4.810), (3, 4, -2), (4, 5, -3), (5, 10, -8)],
)
def test_confirmations_shorten_the_time_along_a_logarithm(confirmations: int, elapsed: float, remaining: float) -> None:
    timeout = suspicion_timeout(confirmations=confirmations, needed=3, shortest_s=2.0, longest_s=30.0)
    assert timeout - elapsed == pytest.approx(remaining, abs=0.001)


def test_with_nobody_to_confirm_it_starts_at_the_shortest() -> None:
    assert suspicion_timeout(confirmations=0, needed=0, shortest_s=2.0, longest_s=30.0) == 2.0


@pytest.mark.parametrize(("live", "shortest"), [(1, 4.0), (5, 4.0), (10, 4.0), (100, 8.0), (1_000, 12.0)])
def test_the_bounds_grow_with_the_logarithm_of_the_living(live: int, shortest: float) -> None:
    assert suspicion_bounds(live=live, mult=4, max_mult=6, interval_s=1.0) == pytest.approx((shortest, 6 * shortest))


def test_each_accuser_counts_once_and_the_first_is_no_confirmation() -> None:
    suspicion = Suspicion(0.0, A)
    assert not suspicion.confirm(A, most=2)
    assert suspicion.confirm(B, most=2)
    assert not suspicion.confirm(B, most=2)
    assert suspicion.confirm(C, most=2)
    assert not suspicion.confirm(PeerId("d" * 64), most=2)


def test_refusals_settle_it_when_enough_others_have_met_them() -> None:
    suspicion = Suspicion(0.0, A)
    assert suspicion.refuse(A, most=2)
    assert not suspicion.refuse(A, most=2)
    assert suspicion.refuse(B, most=2)
    assert suspicion.settled(1)
    assert not suspicion.settled(2)
    assert not suspicion.settled(0)  # nobody to ask: two refusals in time settle that (see news)


def test_the_accused_is_asked_several_times_before_the_shortest_suspicion_ends() -> None:
    suspicion, times = Suspicion(100.0, A), []
    for _ in range(QUESTIONS):
        times.append(suspicion.next_question_s(4.0))
        suspicion.asked += 1
    assert times == [101.0, 102.0, 103.0, 104.0]
    assert 1 <= STREAM_QUESTION < QUESTIONS  # or it would come with the end
