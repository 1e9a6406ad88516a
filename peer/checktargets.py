"""What a health check may be pointed at: this peer itself, and what its operator has opened; never a metadata service.

Decides about addresses, not names: a name is looked up first, and what it leads to is judged. Whoever may register a check
could otherwise make every peer knock on doors inside its network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Final

import psutil

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Where clouds hand out credentials to whoever asks from inside: link-local on all of them, and a few addresses besides.
METADATA: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")
)


def own_addresses() -> frozenset[Ip]:
    """The addresses of this machine's interfaces."""
    found = set()
    for rows in psutil.net_if_addrs().values():
        for row in rows:
            address = _parse(row.address)
            if address is not None:
                found.add(address)
    return frozenset(found)


def _parse(text: str) -> Ip | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


class CheckTargets:
    """Invariant: an address in a metadata range is refused whatever was allowed."""

    def __init__(self, allow: Sequence[Network] = (), *, own: Callable[[], frozenset[Ip]] = own_addresses) -> None:
        self._allow = tuple(allow)
        self._own = own

    def refusal(self, text: str) -> str | None:
        """Why the literal address `text` may not be probed; None when it may. Text that is no address is no target."""
        address = _parse(text)
        if address is None:
            return f"{text[:80]!r} is not an address"
        if any(address.version == network.version and address in network for network in METADATA):
            return f"{address} may hand out credentials (a metadata or link-local address); it is never probed"
        if address.is_loopback or any(address.version == one.version and address in one for one in self._allow):
            return None
        if address in self._own():
            return None
        return f"{address} is not an address of this peer; its operator may open others with --check-allow"

    def literal_refusal(self, host: str) -> str | None:
        """As `refusal` for a host that is a literal address; None for a name, which is judged when it has been looked up."""
        return None if _parse(host) is None else self.refusal(host)
