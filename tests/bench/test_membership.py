"""Which fleets a machine carries; the measurements themselves are what `scripts/bench membership` does."""

from __future__ import annotations

import pytest

from tests.bench.__main__ import parsed
from tests.bench.membership import SIZES, Machine, carried

GIB = 2**30


def test_a_machine_with_room_carries_every_size(capsys: pytest.CaptureFixture[str]):
    assert carried(SIZES, Machine(cores=2, free_bytes=16 * GIB, load=0.2)) == (5, 20, 50)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (Machine(cores=2, free_bytes=4 * GIB, load=0.2), "6.2 GiB of memory wanted, 4.0 GiB are free"),
        (Machine(cores=2, free_bytes=16 * GIB, load=1.5), "1.0 cores wanted, 2 are here and 1.5 of them busy"),
    ],
)
def test_what_it_does_not_carry_is_left_out_with_the_reason(machine: Machine, reason: str, capsys: pytest.CaptureFixture[str]):
    assert carried(SIZES, machine) == (5, 20)
    assert f"50 peers are left out: {reason}" in capsys.readouterr().err


def test_the_smallest_fleet_runs_in_any_case():
    assert carried(SIZES, Machine(cores=1, free_bytes=0, load=9.0)) == (5,)


def test_sizes_that_were_asked_for_are_not_judged():
    assert parsed(["membership", "--peers", "50"]).peers == (50,)
    assert parsed(["membership"]).peers is None
