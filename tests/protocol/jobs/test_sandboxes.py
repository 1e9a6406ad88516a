from __future__ import annotations

import pytest

from protocol.jobs.sandboxes import LEVELS, meets


@pytest.mark.parametrize(
    ("demand", "enough"),
    [("any", ["none", "landlock", "bwrap"]), ("landlock", ["landlock", "bwrap"]), ("bwrap", ["bwrap"])],
)
def test_a_demand_is_met_by_its_level_and_by_stronger_ones(demand, enough):
    assert [level for level in LEVELS if meets(level, demand)] == enough


def test_a_level_of_a_newer_peer_is_none_to_us():
    assert meets("vault", "any")
    assert not meets("vault", "landlock")
