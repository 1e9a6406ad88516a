"""A network that falls into two halves for longer than anybody speaks to the dead."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.membership.options import LOCAL
from tests.e2e.hosts import DEAD_S, farm
from tests.e2e.netns import partition, why_not

pytestmark = [pytest.mark.namespaces, pytest.mark.slow, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]


def test_a_partition_longer_than_the_dead_are_gossiped_to_heals(tmp_path: Path):
    with farm(4, tmp_path) as four:
        partition(four.hosts[:2], four.hosts[2:])
        pairs = [(one, other) for one in (0, 1) for other in (2, 3)]

        def is_cut() -> bool:
            return all(four.state(one, other) == "dead" and four.state(other, one) == "dead" for one, other in pairs)

        assert four.fleet.wait(is_cut, DEAD_S, None), four.fleet.doubts()
        assert not four.fleet.wait(lambda: not is_cut(), LOCAL.gossip_to_dead_s + 2, None), "somebody crossed the cut"
        for host in four.hosts:
            host.well()
        assert four.agree(), four.fleet.doubts()
        assert four.fleet.agreed([0, 1])
