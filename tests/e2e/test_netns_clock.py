"""A wall clock that jumps by an hour, either way, under a peer that runs: membership does not see it."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.e2e.hosts import farm
from tests.e2e.netns import why_not

FOUND = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
WHY_NOT = why_not() or (None if FOUND else "libfaketime is missing; on Debian: apt-get install -y faketime")
pytestmark = [pytest.mark.namespaces, pytest.mark.slow, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]
HOUR_S = 3_600.0


def test_a_wall_clock_that_jumps_an_hour_either_way_changes_no_membership(tmp_path: Path):
    offset = tmp_path / "offset"
    offset.write_text("+0s\n")
    with farm(3, tmp_path, running=2) as made:
        made.fleet.variables = {
            "LD_PRELOAD": str(FOUND[0]),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1",
        }
        made.start(2)
        assert made.agree(), made.fleet.doubts()
        for hours in (1, -1):
            shown = [made.get(index, "/metrics")[1]["Date"] for index in (0, 2)]
            offset.write_text(f"{hours:+d}h\n")

            def ahead_s() -> float:
                honest, faked = (parsedate_to_datetime(made.get(index, "/metrics")[1]["Date"]) for index in (0, 2))
                return (faked - honest).total_seconds()

            jumped = made.fleet.wait(lambda hours=hours: abs(ahead_s() - hours * HOUR_S) < 5, 20, None)  # type: ignore[misc]
            assert jumped, (shown, ahead_s())
            assert made.nobody_dies(8)
            assert made.fleet.agreed([0, 1, 2])
