"""All ways at once: made from the settings, kept alive, and held to a rate.

Decides how many new addresses may be tried in a minute, over all providers: whoever is on the network can make some up, and
each costs datagrams. Refuses to know which addresses are any good.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from peer.discovery.advert import Advert
from peer.discovery.faults import Faults
from peer.discovery.ways import ConsulWay, DnsWay, MdnsWay, StaticWay, Way
from peer.ports import Found, Provider
from protocol.effects import Notice
from protocol.ids import Address
from protocol.limits import (
    DISCOVERY_CANDIDATES_PER_MINUTE,
    DISCOVERY_REMEMBERED_MAX,
    DISCOVERY_RESTART_S,
)

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class World:
    """What providers are given. `url` is this peer's user port at `host`, its address; `consul_token` is a secret."""

    advert: Advert
    url: str
    host: str
    on_notice: Callable[[Notice], None]
    is_alone: Callable[[], bool]
    consul_token: str | None = None


def make_providers(ways: Sequence[Way], world: World) -> list[tuple[str, Provider]]:
    """One provider per way, with a name for people. Static seeds have a resolver of their own, beside these.

    Libraries are imported for the ways that are in use, and not before."""
    named: list[tuple[str, Provider]] = []
    interfaces = [way.interface for way in ways if isinstance(way, MdnsWay) and way.interface is not None]
    if any(isinstance(way, MdnsWay) for way in ways):
        from peer.discovery.mdns import MdnsProvider

        named.append(("mdns", MdnsProvider(world.advert, on_notice=world.on_notice, only=interfaces)))
    for way in dict.fromkeys(ways):
        match way:
            case MdnsWay() | StaticWay():
                pass
            case DnsWay():
                from peer.discovery.dns import DnsProvider

                resolver = DnsProvider(way, world.advert, on_notice=world.on_notice, is_alone=world.is_alone)
                named.append((f"dns {way.name}", resolver))
            case ConsulWay():
                from peer.discovery.consul import ConsulProvider

                agent = ConsulProvider(
                    way, world.advert, url=world.url, host=world.host, token=world.consul_token, on_notice=world.on_notice
                )
                named.append((f"consul {way.url}", agent))
            case _:
                assert_never(way)
    return named


class Discovery:
    """Invariants: a provider that breaks is started again, and neither the others nor the peer notice; at most
    `DISCOVERY_CANDIDATES_PER_MINUTE` addresses that were never told before are told in any minute."""

    def __init__(
        self,
        make: Callable[[], Sequence[tuple[str, Provider]]],
        *,
        on_found: Found,
        on_notice: Callable[[Notice], None],
        restart_s: float = DISCOVERY_RESTART_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`make` builds the providers; it may import for a while, and is called on a thread."""
        self._make = make
        self._on_found = on_found
        self._faults = Faults("discovery", on_notice)
        self._restart_s = restart_s
        self._clock = clock
        self._told: dict[Address, None] = {}
        self._new_at: deque[float] = deque()

    async def run(self) -> None:
        """Everything at once, until cancelled; by the end every provider has taken back what it registered."""
        providers = await asyncio.to_thread(self._make)
        async with asyncio.TaskGroup() as group:
            for name, provider in providers:
                group.create_task(self._keep(name, provider), name=f"discovery {name}")

    async def _keep(self, name: str, provider: Provider) -> None:
        while True:
            try:
                await provider.run(self.found)
            except Exception as error:  # a way to find peers is no reason to stop a peer
                self._faults.failed(name, f"{type(error).__name__}: {error}")
            await asyncio.sleep(self._restart_s)

    def found(self, addresses: tuple[Address, ...]) -> None:
        """Hand candidates on, new ones only as far as the minute's number goes."""
        told = tuple(address for address in addresses if self._admit(address))
        if told:
            self._on_found(told)

    def _admit(self, address: Address) -> bool:
        if address in self._told:
            self._told[address] = self._told.pop(address)  # youngest last
            return True
        now = self._clock()
        while self._new_at and now - self._new_at[0] >= MINUTE_S:
            self._new_at.popleft()
        if len(self._new_at) >= DISCOVERY_CANDIDATES_PER_MINUTE:
            self._faults.failed("candidates", f"more than {DISCOVERY_CANDIDATES_PER_MINUTE} new addresses in a minute")
            return False
        self._new_at.append(now)
        self._told[address] = None
        if len(self._told) > DISCOVERY_REMEMBERED_MAX:
            del self._told[next(iter(self._told))]
        return True
