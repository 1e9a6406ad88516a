"""Peers of the same network segment, by multicast DNS (RFC 6762, 6763): told on every link, listened for on every link.

Decides when a link's session begins, ends and is tried again. Bootstrap only: records outlive a crashed peer by minutes, so
nothing is ever concluded from one that goes. zeroconf speaks the protocol; each link has an instance of its own, for one
instance would tell every link's address on all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from socket import IPPROTO_IP, IPPROTO_IPV6

from zeroconf import DNSQuestionType, ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf import Error as ZeroconfError
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from peer.discovery.advert import TYPE, Advert, read_fields, read_txt, usable
from peer.discovery.faults import Faults
from peer.discovery.links import Interface, Link, choose_links, list_interfaces
from peer.ports import Found
from protocol.effects import Notice
from protocol.limits import (
    LINKS_AGAIN_S,
    MDNS_GOODBYE_S,
    MDNS_NAMES_WAITING_MAX,
    MDNS_RESOLVE_S,
    MDNS_RESOLVERS,
    MDNS_RETRY_S,
)

# Linux hands a socket the packets of groups that others have joined on other interfaces, unless told not to.
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29
_GROUP = "224.0.0.251"


class MdnsProvider:
    """Invariants: one session per link in use; a link's trouble ends neither the others' sessions nor `run`."""

    def __init__(
        self,
        advert: Advert,
        *,
        on_notice: Callable[[Notice], None],
        only: Sequence[str] = (),
        interfaces: Callable[[], list[Interface]] = list_interfaces,
        again_s: float = LINKS_AGAIN_S,
        retry_s: float = MDNS_RETRY_S,
    ) -> None:
        """`only`: see `choose_links`. `interfaces` lists what there is, every `again_s` seconds."""
        self._advert = advert
        self._faults = Faults("mdns", on_notice)
        self._only = tuple(only)
        self._interfaces = interfaces
        self._again_s = again_s
        self._retry_s = retry_s

    async def run(self, found: Found) -> None:
        """Tell and listen until cancelled, and then say goodbye on every link."""
        sessions: dict[Link, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                links = await self._links()
                for link in [link for link in sessions if link not in links]:
                    sessions.pop(link).cancel()
                    self._faults.forget(link.name)
                for link in links:
                    if link not in sessions:
                        sessions[link] = group.create_task(self._keep(link, found), name=f"mdns {link.name}")
                await asyncio.sleep(self._again_s)

    async def _links(self) -> tuple[Link, ...]:
        try:
            interfaces = await asyncio.to_thread(self._interfaces)
        except (OSError, ValueError) as error:
            self._faults.failed("interfaces", str(error))
            return ()
        links = choose_links(interfaces, bind=self._advert.bind, advertise=self._advert.advertise, only=self._only)
        if links:
            self._faults.works("interfaces")
        else:
            wanted = ", ".join(self._only) or "an interface for multicast"
            self._faults.failed("interfaces", f"{wanted}: there is none that is up and fits the address {self._advert.bind}")
        return links

    async def _keep(self, link: Link, found: Found) -> None:
        """One link's session, begun again after each failure."""
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    await self._serve(link, found, group)
            except* (OSError, ZeroconfError, RuntimeError, ValueError) as errors:
                self._faults.failed(link.name, _first(errors))
            await asyncio.sleep(self._retry_s)

    async def _serve(self, link: Link, found: Found, group: asyncio.TaskGroup) -> None:
        names: asyncio.Queue[str] = asyncio.Queue(MDNS_NAMES_WAITING_MAX)

        def heard(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
            if state_change is not ServiceStateChange.Removed:
                with contextlib.suppress(asyncio.QueueFull):  # told again before long
                    names.put_nowait(name)

        async with _opened(link) as zeroconf:
            # Multicast questions: a unicast answer would reach only one of the peers that share the port on this machine.
            browser = AsyncServiceBrowser(zeroconf.zeroconf, TYPE, handlers=[heard], question_type=DNSQuestionType.QM)
            try:
                for _ in range(MDNS_RESOLVERS):
                    group.create_task(self._resolve(link, zeroconf, names, found))
                await self._tell(link, zeroconf)
            finally:
                await browser.async_cancel()

    async def _tell(self, link: Link, zeroconf: AsyncZeroconf) -> None:
        """Register, and again whenever the record has changed (the key that seals was rotated). Never returns."""
        told: dict[str, str] = {}
        info: ServiceInfo | None = None
        try:
            while True:
                fields = self._advert.fields()
                if fields != told:
                    if info is not None:
                        await (await zeroconf.async_unregister_service(info))
                    info, told = self._record(link, fields), fields
                    # A taken name gets a number: names are labels here, the id is in the record.
                    await (await zeroconf.async_register_service(info, allow_name_change=True))
                    self._faults.works(link.name)
                await asyncio.sleep(self._again_s)
        finally:
            with contextlib.suppress(TimeoutError, OSError, ZeroconfError):
                async with asyncio.timeout(MDNS_GOODBYE_S):
                    await zeroconf.async_unregister_all_services()

    def _record(self, link: Link, fields: dict[str, str]) -> ServiceInfo:
        label = self._advert.label
        return ServiceInfo(
            TYPE, f"{label}.{TYPE}", port=self._advert.port, properties=fields, server=f"{label}.local.",
            parsed_addresses=[link.address],
        )  # fmt: skip

    async def _resolve(self, link: Link, zeroconf: AsyncZeroconf, names: asyncio.Queue[str], found: Found) -> None:
        """Turn names into candidates, one after the other; our own and other meshes' stay names."""
        while True:
            info = AsyncServiceInfo(TYPE, await names.get())
            if not await info.async_request(zeroconf.zeroconf, MDNS_RESOLVE_S * 1_000, DNSQuestionType.QM):
                continue
            heard = read_fields(read_txt(info.properties), port=info.port, mesh_required=True)
            if heard is None or heard.peer == self._advert.peer or heard.mesh not in self._advert.meshes():
                continue
            addresses = usable(info.parsed_scoped_addresses(), heard.gossip_port, bind=self._advert.bind, loopback=link.loopback)
            if addresses:
                found(addresses)


@contextlib.asynccontextmanager
async def _opened(link: Link) -> AsyncIterator[AsyncZeroconf]:
    """zeroconf on one link alone. Raises OSError when the link has gone or can carry no multicast."""
    for address in link.transports:
        _try_group(address)
    zeroconf = AsyncZeroconf(interfaces=list(link.transports))
    try:
        await zeroconf.zeroconf.async_wait_for_start()
        if not zeroconf.zeroconf.engine.senders:
            raise OSError(f"no multicast on {link.name} ({', '.join(link.transports)})")
        _hear_only_this_link(zeroconf)
        yield zeroconf
    finally:
        await zeroconf.async_close()


def _try_group(address: str) -> None:
    """Join the group there once, for when zeroconf fails to it leaves its socket open. Raises OSError."""
    six = ":" in address
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0))
        if not six:
            sock.setsockopt(IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(_GROUP) + socket.inet_aton(address))


def _hear_only_this_link(zeroconf: AsyncZeroconf) -> None:
    if not sys.platform.startswith("linux"):
        return
    for reader in zeroconf.zeroconf.engine.readers:
        with contextlib.suppress(OSError):
            reader.sock.setsockopt(IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            if reader.is_ipv6:
                reader.sock.setsockopt(IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)


def _first(errors: BaseExceptionGroup[BaseException]) -> str:
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return str(first) or type(first).__name__
