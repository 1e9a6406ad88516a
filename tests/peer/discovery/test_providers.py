"""All ways at once: what breaks is begun again, and nobody floods us."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from peer.discovery.consul import ConsulProvider
from peer.discovery.dns import DnsProvider
from peer.discovery.mdns import MdnsProvider
from peer.discovery.providers import MINUTE_S, Discovery, World, make_providers
from peer.discovery.ways import ConsulWay, DnsWay, MdnsWay, StaticWay
from peer.ports import Found, Provider
from protocol import limits
from protocol.ids import Address
from tests.peer.discovery.adverts import Ear, make_advert
from tests.waiting import wait_until


class Telling:
    """Tells one address, then breaks or waits; counts its runs and its ends."""

    def __init__(self, address: Address, *, breaks: int = 0) -> None:
        self.address, self.breaks, self.runs, self.ended = address, breaks, 0, 0

    async def run(self, found: Found) -> None:
        self.runs += 1
        found((self.address,))
        try:
            if self.runs <= self.breaks:
                raise KeyError("a mistake of ours")
            await asyncio.Event().wait()
        finally:
            self.ended += 1


@contextlib.asynccontextmanager
async def running(discovery: Discovery) -> AsyncIterator[None]:
    task = asyncio.create_task(discovery.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


def make_discovery(ear: Ear, *providers: Provider, clock: float = 0.0) -> Discovery:
    named = [(f"p{number}", provider) for number, provider in enumerate(providers)]
    return Discovery(lambda: named, on_found=ear.hear, on_notice=ear.notices.append, restart_s=0.001, clock=lambda: clock)


async def test_all_run_at_once_and_one_that_breaks_is_begun_again():
    ear, good, bad = Ear(), Telling(Address("10.0.0.1", 1)), Telling(Address("10.0.0.2", 1), breaks=2)
    async with running(make_discovery(ear, good, bad)):
        await wait_until(lambda: bad.runs == 3)
        assert {good.address, bad.address} == set(ear.found)
        assert (good.runs, good.ended) == (1, 0)
    assert (good.ended, bad.ended) == (1, 3)
    assert ear.errors == ["KeyError: 'a mistake of ours'"]


async def test_without_ways_nothing_runs():
    discovery = make_discovery(Ear())
    await discovery.run()


def test_new_addresses_are_told_at_a_limited_rate_and_known_ones_always():
    ear, now = Ear(), [0.0]
    discovery = Discovery(list, on_found=ear.hear, on_notice=ear.notices.append, clock=lambda: now[0])
    many = tuple(Address("10.0.0.1", port) for port in range(1, 1_000))
    discovery.found(many)
    assert len(ear.found) == limits.DISCOVERY_CANDIDATES_PER_MINUTE
    assert "new addresses in a minute" in ear.errors[0]
    discovery.found(many[:1])
    assert ear.found[-1] == many[0]
    now[0] = MINUTE_S
    discovery.found(many)
    assert len(set(ear.found)) == 2 * limits.DISCOVERY_CANDIDATES_PER_MINUTE


def test_memory_is_bounded_and_keeps_the_youngest():
    ear, now = Ear(), [0.0]
    discovery = Discovery(list, on_found=ear.hear, on_notice=ear.notices.append, clock=lambda: now[0])
    for port in range(1, limits.DISCOVERY_REMEMBERED_MAX + 3):
        now[0] += MINUTE_S
        discovery.found((Address("10.0.0.1", 65_535), Address("10.0.0.1", port)))
    assert len(discovery._told) == limits.DISCOVERY_REMEMBERED_MAX
    assert Address("10.0.0.1", 65_535) in discovery._told
    assert Address("10.0.0.1", 1) not in discovery._told


def test_each_way_has_its_provider_and_static_has_none_here():
    ear = Ear()
    world = World(make_advert(), "http://127.0.0.1:7700", "127.0.0.1", ear.notices.append, lambda: True)
    ways = (MdnsWay(), MdnsWay("eth1"), StaticWay(), DnsWay("a"), DnsWay("a"), DnsWay("b"), ConsulWay("http://c:8500"))
    made = make_providers(ways, world)
    assert [name for name, _ in made] == ["mdns", "dns a", "dns b", "consul http://c:8500"]
    assert [type(one) for _, one in made] == [MdnsProvider, DnsProvider, DnsProvider, ConsulProvider]
    assert make_providers([StaticWay()], world) == []
