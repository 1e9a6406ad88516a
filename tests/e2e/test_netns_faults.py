"""Membership on real sockets between real hosts, with faults that iptables makes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.hosts import DEAD_S, Farm, farm
from tests.e2e.netns import why_not

pytestmark = [pytest.mark.namespaces, pytest.mark.slow, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with farm(4, tmp_path_factory.mktemp("three"), running=3) as made:
        yield made


@pytest.fixture
def healthy(three: Farm) -> Iterator[Farm]:
    """Three peers that hold one another for alive; faults end with the test."""
    assert three.agree(), three.fleet.doubts()
    yield three
    for host in three.hosts:
        host.well()


def test_a_peer_whose_udp_is_blocked_stays_alive_by_its_stream_and_the_others_say_so(healthy: Farm):
    for host in healthy.hosts[:2]:
        host.deaf_to([healthy.hosts[2]], "-p", "udp")
    healthy.hosts[2].iptables("-A", "INPUT", "-i", "eth0", "-p", "udp", "-j", "DROP")
    told = healthy.fleet.wait(lambda: all(healthy.wrote(index, "udp_blocked") for index in (0, 1)), 30, None)
    assert told
    assert healthy.nobody_dies()


def test_a_one_way_cut_is_routed_round_by_the_third(healthy: Farm):
    before = [len(healthy.wrote(index, "udp_blocked")) for index in (0, 1)]
    healthy.hosts[1].deaf_to([healthy.hosts[0]])
    assert healthy.nobody_dies()
    assert [len(healthy.wrote(index, "udp_blocked")) for index in (0, 1)] == before


def test_a_peer_joins_while_every_host_loses_30_percent(healthy: Farm):
    for host in healthy.hosts:
        host.lose(0.3)
    try:
        healthy.start(3)
        assert healthy.agree(timeout_s=60), healthy.fleet.doubts()
    finally:
        healthy.fleet.kill(3)


def test_a_peer_whose_interface_goes_away_is_dead_and_comes_back_with_the_interface(healthy: Farm):
    lost = healthy.hosts[2]
    lost.unplug()
    gone = healthy.fleet.wait(lambda: healthy.state(0, 2) == "dead" and healthy.state(1, 2) == "dead", DEAD_S, None)
    lost.plug()
    assert gone
    assert healthy.agree(timeout_s=60), healthy.fleet.doubts()
    assert healthy.fleet.daemons[2].process.poll() is None
