"""Peers of this network that tell of themselves by mDNS: asked only when no host was named and the local peer is away.

Decides how long to listen. Refuses to trust: what is found is an address, verified like any that was typed, and over plain
HTTP no token goes there. zeroconf is imported here alone; one question from a port of our own is answered to us directly,
so nothing has to listen on port 5353.
"""

from __future__ import annotations

import queue
import time
from typing import Any, Final

from peer.cli import bounds

TYPE: Final = "_rendermesh._tcp.local."


def find_urls(*, within_s: float = bounds.NEARBY_S, more_s: float = bounds.NEARBY_MORE_S) -> list[str]:
    """URLs of the peers that answer within `within_s` seconds, loopback first; `more_s` after the first it is enough."""
    from zeroconf import DNSQuestionType, InterfaceChoice, IPVersion, ServiceBrowser, Zeroconf
    from zeroconf import Error as ZeroconfError

    names: queue.Queue[str] = queue.Queue()

    def heard(zeroconf: Zeroconf, service_type: str, name: str, state_change: object) -> None:
        names.put(name)

    until = time.monotonic() + within_s
    found: list[str] = []
    try:
        with Zeroconf(interfaces=InterfaceChoice.All, ip_version=IPVersion.V4Only, unicast=True) as zeroconf:
            ServiceBrowser(zeroconf, TYPE, handlers=[heard], delay=1, question_type=DNSQuestionType.QM)
            while len(found) < bounds.HOSTS_MAX and (left_s := until - time.monotonic()) > 0:
                try:
                    name = names.get(timeout=left_s)
                except queue.Empty:
                    break
                url = url_of(zeroconf.get_service_info(TYPE, name, timeout=max(1, int(left_s * 1_000))))
                if url is not None and url not in found:
                    found.append(url)
                    until = min(until, time.monotonic() + more_s)
    except (OSError, RuntimeError, ZeroconfError):  # no network, no answer
        return []
    return sorted(found, key=lambda url: "//127." not in url)


def url_of(info: Any) -> str | None:
    """The user port that a record (zeroconf's `ServiceInfo`) tells, None for what is no peer's."""
    if info is None or info.properties.get(b"txtvers") != b"1" or not info.port:
        return None
    addresses = info.parsed_addresses()
    if not addresses:
        return None
    host = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
    return f"{'https' if info.properties.get(b'tls') == b'1' else 'http'}://{host}:{info.port}"
