"""The ways to find peers as people write them: `mdns`, `static`, `dns:NAME`, `consul:URL`.

Decides what each text means. Refuses to know how a way is walked, and imports nothing that does: settings read this.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

PORT: Final = 7700
DNS_PORT: Final = 53
CONSUL_PORT: Final = 8500
SERVICE: Final = "rendermesh"
KINDS: Final = ("mdns", "static", "dns", "consul")
FORMS: Final = "mdns, mdns:INTERFACE, static, dns:NAME[:PORT][@SERVER[:PORT]], consul:URL"
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?\Z")
_INTERFACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,31}\Z")
_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}\Z")


@dataclass(frozen=True, slots=True)
class MdnsWay:
    """Multicast DNS; `interface` is the one to use, virtual ones included, None: those that look like real links."""

    interface: str | None = None


@dataclass(frozen=True, slots=True)
class StaticWay:
    """The seeds given with --join."""


@dataclass(frozen=True, slots=True)
class DnsWay:
    """A name whose A and AAAA records are peers at `port`, or (it begins with `_`) whose SRV records are.

    `server` is (IP address, port) of the name server to ask, None: those of the system."""

    name: str
    port: int = PORT
    server: tuple[str, int] | None = None

    @property
    def by_service(self) -> bool:
        """Whether SRV records are asked for: they carry the ports."""
        return self.name.startswith("_")


@dataclass(frozen=True, slots=True)
class ConsulWay:
    """An agent (or a peer, which speaks the same API) at `url`, without a trailing slash; `service` is registered there."""

    url: str
    service: str = SERVICE

    @property
    def private(self) -> bool:
        """Whether a token sent there stays on this machine or travels encrypted."""
        parts = urlsplit(self.url)
        return parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")


Way = MdnsWay | StaticWay | DnsWay | ConsulWay


def parse_way(text: str) -> Way:
    """Read one way. Raises `ValueError` with a form that works."""
    kind, colon, rest = text.strip().partition(":")
    match kind:
        case "mdns" if not colon:
            return MdnsWay()
        case "mdns" if _INTERFACE.match(rest):
            return MdnsWay(rest)
        case "mdns":
            raise ValueError(f"{text[:80]!r} names no interface; write mdns, or for example mdns:eth1")
        case "static" if not colon:
            return StaticWay()
        case "dns":
            return _dns(text, rest)
        case "consul":
            return _consul(text, rest)
        case _:
            raise ValueError(f"{text[:80]!r} is no way to find peers; ways are {FORMS}")


def _dns(text: str, rest: str) -> DnsWay:
    where, at, server = rest.partition("@")
    name, colon, port = where.partition(":")
    if not _NAME.match(name):
        raise ValueError(
            f"{text[:80]!r} names no host; write for example dns:peers.example.org or dns:_rendermesh._tcp.example.org"
        )
    if colon and name.startswith("_"):
        raise ValueError(f"{text[:80]!r}: SRV records carry the ports; leave :{port[:8]} out")
    if at and not server:
        raise ValueError(f"{text[:80]!r} names no server after the @; write for example dns:peers@127.0.0.1:8600")
    return DnsWay(name, _port(text, port) if colon else PORT, _server(text, server) if at else None)


def _server(text: str, server: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[(?P<six>[^\]]+)\]|(?P<four>[0-9.]+))(?::(?P<port>\d+))?", server)
    try:
        host = str(ipaddress.ip_address(match["six"] or match["four"] if match else server))
    except ValueError:
        raise ValueError(f"{text[:80]!r}: the name server must be an IP address, for example dns:peers@127.0.0.1:8600") from None
    return host, _port(text, match["port"]) if match and match["port"] else DNS_PORT


def _port(text: str, port: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65_535:
        raise ValueError(f"{text[:80]!r}: the port must be from 1 to 65535")
    return int(port)


def _is_host(text: str) -> bool:
    """Whether it is a name or an address: of anything else it would be said at each try, and never at the start."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _NAME.match(text) is not None
    return True


def _consul(text: str, rest: str) -> ConsulWay:
    wrong = ValueError(f"{text.partition('@')[0][:80]!r} names no agent; write for example consul:http://127.0.0.1:8500")
    try:
        parts = urlsplit(rest)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("a consul URL carries no secret; give the token in PEER_CONSUL_TOKEN or PEER_CONSUL_TOKEN_FILE")
    if parts.scheme not in ("http", "https") or not host or not _is_host(host) or parts.path not in ("", "/") or parts.fragment:
        raise wrong
    given = parse_qs(parts.query, keep_blank_values=True)
    service = given.pop("service", [SERVICE])[-1]
    if given or not _SERVICE.match(service):
        raise ValueError(f"{text[:80]!r}: after the ? only service=NAME is known; letters, digits and '-'")
    shown = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else CONSUL_PORT
    return ConsulWay(f"{parts.scheme}://{shown}:{port or default}", service)
