from __future__ import annotations

import pytest

from tests.sim.clocks import Clock


@pytest.mark.parametrize("clock", [Clock(), Clock(123.4, 1.001), Clock(1e6, 0.999)])
def test_a_moment_is_found_again_whatever_the_drift(clock: Clock):
    assert clock.when(clock.now(55.5).monotonic_s) == pytest.approx(55.5)


def test_somebody_sets_the_wall_clock_and_the_monotonic_one_does_not_care():
    clock = Clock(10.0)
    before = clock.now(1.0)
    clock.jump(-3_600_000)
    after = clock.now(1.0)
    assert after.monotonic_s == before.monotonic_s
    assert after.wall_ms == before.wall_ms - 3_600_000
