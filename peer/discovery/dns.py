"""Peers behind a DNS name, such as a headless service: A and AAAA records, or SRV records with their ports.

Decides when to ask again. dnspython asks (in the loop, with TTLs, SRV and TCP for long answers); getaddrinfo has neither
TTLs nor SRV, and holds a thread for as long as a dead server keeps silent. Refuses to judge: what a server says is a candidate.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from peer.discovery.advert import Advert, usable
from peer.discovery.faults import Faults
from peer.discovery.ways import DnsWay
from peer.ports import Found
from protocol.effects import Notice
from protocol.ids import Address
from protocol.limits import (
    DISCOVERY_CANDIDATES_MAX,
    DNS_ALONE_S,
    DNS_ANSWER_S,
    DNS_REFRESH_S,
    DNS_SERVICES_MAX,
    DNS_TTL_S_MAX,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """(host, port) pairs with literal addresses, and the shortest time to live among the records in seconds."""

    hosts: tuple[tuple[str, int], ...]
    ttl_s: float


class NoAnswer(Exception):
    """Nothing to go on: the name has no records, or no server said so. The text is for people."""


def next_look_s(*, alone: bool, ttl_s: float | None) -> float:
    """Seconds until the next look. `ttl_s` None: there was no answer.

    Alone, what matters is to find somebody: 10 s, which is also how soon an absent name is asked for again. In company, not
    before the records can have changed, within 30 s and 5 min."""
    if alone:
        return DNS_ALONE_S
    return min(max(DNS_REFRESH_S, ttl_s or 0.0), DNS_TTL_S_MAX)


class DnsProvider:
    """Invariants: one look at a time, each bounded; never raises for what a server says or does not say."""

    def __init__(
        self,
        way: DnsWay,
        advert: Advert,
        *,
        on_notice: Callable[[Notice], None],
        is_alone: Callable[[], bool],
        pause_s: Callable[..., float] = next_look_s,
        answer_s: float = DNS_ANSWER_S,
    ) -> None:
        """`pause_s` is `next_look_s`, or a test's own with the same arguments; a look takes at most `answer_s` seconds."""
        self._way = way
        self._bind = advert.bind
        self._faults = Faults("dns", on_notice)
        self._is_alone = is_alone
        self._pause_s = pause_s
        self._answer_s = answer_s

    async def run(self, found: Found) -> None:
        """Look at once and for ever. Ends only when cancelled."""
        while True:
            ttl_s = await self.look(found)
            # A little early or late, so that peers that started together do not ask together for ever.
            await asyncio.sleep(self._pause_s(alone=self._is_alone(), ttl_s=ttl_s) * random.uniform(0.9, 1.1))

    async def look(self, found: Found) -> float | None:
        """Resolve once and tell. Returns the records' time to live, None when there was no answer."""
        try:
            async with asyncio.timeout(self._answer_s * 2):
                answer = await self._ask()
        except TimeoutError:
            self._faults.failed(self._way.name, f"no answer within {self._answer_s * 2:g} s")
            return None
        except (NoAnswer, dns.exception.DNSException, OSError, ValueError) as error:
            self._faults.failed(self._way.name, str(error) or type(error).__name__)
            return None
        addresses = self._candidates(answer)
        if addresses:
            self._faults.works(self._way.name)
            found(addresses)
        else:
            self._faults.failed(self._way.name, f"none of its addresses can be reached from {self._bind}")
        return answer.ttl_s

    def _candidates(self, answer: Answer) -> tuple[Address, ...]:
        """Those that we can send to, at most `DISCOVERY_CANDIDATES_MAX` drawn by lot: not everybody asks the same few."""
        # A name server is no link: what it says of loopback counts where it can mean us.
        found = [address for host, port in answer.hosts for address in usable((host,), port, bind=self._bind, loopback=True)]
        unique = list(dict.fromkeys(found))
        return tuple(random.sample(unique, min(len(unique), DISCOVERY_CANDIDATES_MAX)))

    async def _ask(self) -> Answer:
        resolver = await asyncio.to_thread(self._resolver)
        if not self._way.by_service:
            return await self._addresses(resolver, dns.name.from_text(self._way.name, None), self._way.port)
        answer = await resolver.resolve(self._way.name, "SRV", search=True)
        records = [one for one in answer if one.target != dns.name.root and 1 <= one.port <= 65_535]  # a root: none, RFC 2782
        chosen = random.sample(records, min(len(records), DNS_SERVICES_MAX))
        found = await asyncio.gather(*(self._addresses(resolver, one.target, one.port) for one in chosen), return_exceptions=True)
        answers = [one for one in found if isinstance(one, Answer)]
        if not answers:
            raise NoAnswer(f"none of its {len(records)} targets has an address")
        ttl_s = min([float(_ttl(answer)), *(one.ttl_s for one in answers)])
        return Answer(tuple(pair for one in answers for pair in one.hosts), ttl_s)

    def _resolver(self) -> dns.asyncresolver.Resolver:
        """Read resolv.conf anew each time: networks change under a running peer. Raises `DNSException`."""
        resolver = dns.asyncresolver.Resolver(configure=self._way.server is None)
        if self._way.server is not None:
            host, port = self._way.server
            resolver.nameservers, resolver.port = [host], port
        resolver.timeout = min(2.0, self._answer_s / 2)
        resolver.lifetime = self._answer_s
        return resolver

    async def _addresses(self, resolver: dns.asyncresolver.Resolver, name: dns.name.Name, port: int) -> Answer:
        """Both families at once; one of them suffices. Raises what the first failed with."""
        kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
        results = await asyncio.gather(*(resolver.resolve(name, kind, search=True) for kind in kinds), return_exceptions=True)
        answers = [one for one in results if isinstance(one, dns.resolver.Answer)]
        if not answers:
            raise NoAnswer(_why(name, results))
        pairs = tuple((str(record.address), port) for answer in answers for record in answer)
        return Answer(pairs, float(min(_ttl(answer) for answer in answers)))


def _ttl(answer: dns.resolver.Answer) -> int:
    return answer.rrset.ttl if answer.rrset is not None else 0


def _why(name: dns.name.Name, results: Iterable[object]) -> str:
    first = next((one for one in results if isinstance(one, BaseException)), None)
    match first:
        case dns.resolver.NXDOMAIN():
            return f"there is no name {name}"
        case dns.resolver.NoAnswer():
            return f"the name {name} has no address"
        case dns.resolver.NoNameservers():
            return f"the name servers refuse or cannot answer for {name}"
        case dns.exception.Timeout():
            return f"no name server answered for {name}"
        case _:
            return str(first) or type(first).__name__
