"""Which network interfaces mDNS uses, and which address is told on each: a pure choice over what the system lists.

Decides by the bind address first: a peer on loopback is told on loopback only. Refuses bridges, tunnels and the inner ends
of containers unless one is named: whoever is behind them hears of an address that it cannot reach.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from protocol.limits import LINKS_MAX

_VIRTUAL: Final = re.compile(
    r"(docker|br-|veth|virbr|vnet|vmnet|vboxnet|tun|tap|utun|wg|tailscale|zt|cni|flannel|cali|cilium|lxc|lxd|podman|kube|nodelocal"
    r"|dummy|ifb|awdl|llw|bridge|ppp|vethernet)",
    re.IGNORECASE,
)
_SYSTEM: Final = Path("/sys/class/net")


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface as listed: its literal addresses, IPv6 scopes kept (`fe80::1%eth0`)."""

    name: str
    addresses: tuple[str, ...]
    up: bool = True
    multicast: bool = True
    virtual: bool = False

    @property
    def loopback(self) -> bool:
        """Whether it ends on this machine."""
        return any(_ip(address).is_loopback for address in self.addresses)


@dataclass(frozen=True, slots=True)
class Link:
    """One interface in use: multicast goes out from `transports`, and `address` is what is told there."""

    name: str
    transports: tuple[str, ...]
    address: str
    loopback: bool


def looks_virtual(name: str, system: Path = _SYSTEM) -> bool:
    """Whether the interface is a bridge, a tunnel or one end of a virtual cable, by the kernel's word or by its name."""
    own = system / name
    if (own / "bridge").exists() or (own / "tun_flags").exists():
        return True
    return _VIRTUAL.match(name) is not None


def list_interfaces() -> list[Interface]:
    """What the system has now. Blocks for a moment; raises OSError."""
    states = psutil.net_if_stats()
    found = []
    for name, rows in psutil.net_if_addrs().items():
        state = states.get(name)
        flags = getattr(state, "flags", "").split(",") if state is not None else []
        addresses = tuple(row.address for row in rows if row.family in (socket.AF_INET, socket.AF_INET6))
        loopback = any(_ip(address).is_loopback for address in addresses)
        multicast = loopback or not any(flags) or "multicast" in flags  # the kernel's loopback never says it, and can
        found.append(Interface(name, addresses, bool(state and state.isup), multicast, looks_virtual(name)))
    return found


def choose_links(
    interfaces: Iterable[Interface], *, bind: str, advertise: str | None = None, only: Sequence[str] = ()
) -> tuple[Link, ...]:
    """The links for a peer bound to `bind` that tells `advertise` where that is no address of a link.

    `only` names interfaces and lifts the refusal of virtual ones. At most `LINKS_MAX`."""
    usable = [one for one in interfaces if one.up and one.multicast and one.addresses and (not only or one.name in only)]
    bound = ipaddress.ip_address(bind)
    if bound.is_loopback:
        links = [_link(one, bind) for one in usable if one.loopback][:1]
    elif not bound.is_unspecified:
        links = [_link(one, bind) for one in usable if bind in one.addresses]
    else:
        links = _everywhere(usable, bound.version, named=bool(only))
    return tuple(_told([link for link in links if link.transports], advertise))[:LINKS_MAX]


def _everywhere(usable: list[Interface], version: int, *, named: bool) -> list[Link]:
    real = [one for one in usable if named or not (one.virtual or one.loopback)]
    links = [_link(one, own) for one in real if (own := _own(one, version)) is not None]
    if links or named:
        return links
    # Cut off from every network there are still the peers of this machine.
    return [_link(one, own) for one in usable if one.loopback and (own := _own(one, version)) is not None]


def _own(one: Interface, version: int) -> str | None:
    """The address to tell: one that means something without a scope."""
    found = [address for address in one.addresses if _ip(address).version == version and not _ip(address).is_link_local]
    return found[0] if found else None


def _link(one: Interface, address: str) -> Link:
    """IPv4 multicast where there is IPv4, for it also carries AAAA records; IPv6 (never on loopback) for a peer of IPv6."""
    fours = [own for own in one.addresses if _ip(own).version == 4]
    transports = [address] if address in fours else fours[:1]
    if _ip(address).version == 6 and not one.loopback:
        transports.append(address)
    return Link(one.name, tuple(transports), address, one.loopback)


def _told(links: list[Link], advertise: str | None) -> list[Link]:
    if advertise is None:
        return links
    own = [link for link in links if link.address == advertise]
    return own or [Link(link.name, link.transports, advertise, link.loopback) for link in links]


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(address.partition("%")[0])
