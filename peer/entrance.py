"""How the user port is opened: who may come in without a key, under which names it answers, and what this account's own
tools are told about it.

Decides these from the settings. Refuses to know requests and sockets.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from pathlib import Path

import psutil
import structlog

from peer.access import KeyVerifier
from peer.adminkey import ADMIN_KEY_FILE, Situation
from peer.net.certificates import Authority
from peer.settings import Settings
from peer.telemetry.metrics import Metrics
from peer.web.logins import Logins
from protocol import limits
from protocol.access.roles import Role
from protocol.node import Node

AUTHORITY_FILE = "ca.pem"
CLIENT_FILE = "client.json"
UNSPECIFIED = ("0.0.0.0", "::")
INSECURE = (
    "THIS PEER IS OPEN TO EVERYBODY (--insecure): who reaches it reads and submits jobs, or joins as a peer and takes frames. "
    "Nothing is secret. Outside a closed lab make a key with `peerctl keygen` and start every peer with --mesh-key-file"
)

_log = structlog.get_logger("rendermesh")


def anonymous_role(settings: Settings) -> Role | None:
    """Who comes without a key: on loopback without a mesh key no login is needed; else what the operator has opened."""
    if settings.anonymous_role != "none":
        return settings.anonymous_role
    if settings.insecure:
        return "submitter"
    return "admin" if settings.loopback and settings.mesh_key is None else None


def make_logins(settings: Settings, node: Node, metrics: Metrics) -> Logins:
    """The check of every request to the user port."""
    return Logins([KeyVerifier(node.access.record)], anonymous=anonymous_role(settings), metrics=metrics)


def situation(settings: Settings, node: Node) -> Situation:
    """What decides about a first admin key."""
    return Situation(
        me=node.me, keys=len(node.access.records()), live=node.roster.live(), synced=node.access.synced,
        patience_s=patience_s(settings),
        insists=settings.new_admin_key,
    )  # fmt: skip


async def warn_while_open(settings: Settings, *, every_s: float) -> None:
    """Log at once and then every `every_s` seconds that everybody may come in. Ends only when cancelled, or at once without
    `insecure`."""
    while settings.insecure:
        _log.warning("insecure", text=INSECURE)
        await asyncio.sleep(every_s)


def patience_s(settings: Settings) -> float:
    """How long others may need to turn up; 0 when this peer was told of nobody."""
    if settings.join or any(way not in ("static", "mdns") for way in settings.discovery):
        return limits.ADMIN_KEY_WAIT_S
    return limits.ADMIN_KEY_WAIT_MDNS_S if "mdns" in settings.discovery else 0.0


def own_address(bind: str) -> str:
    """The address that others can reach: the bound one, or, when bound to all, the first that is not loopback."""
    if bind not in UNSPECIFIED:
        return bind
    family = socket.AF_INET if bind == "0.0.0.0" else socket.AF_INET6
    found = [
        one.address
        for addresses in psutil.net_if_addrs().values()
        for one in addresses
        if one.family == family and not one.address.startswith(("127.", "169.254.", "fe80", "::1"))
    ]
    return found[0] if found else ("127.0.0.1" if family == socket.AF_INET else "::1")


def names_of(settings: Settings, host: str) -> tuple[str, ...]:
    """Names and addresses for the user port's certificate: what others are told, and, when it listens everywhere, every
    address of this machine and its name."""
    if settings.bind not in UNSPECIFIED:
        return (host,)
    found = [one.address for addresses in psutil.net_if_addrs().values() for one in addresses]
    usable = [address for address in found if _is_literal(address)]
    return tuple(dict.fromkeys((host, *sorted(usable), *_host_names())))


def write_client_files(settings: Settings, url: str, authorities: Sequence[Authority]) -> None:
    """`client.json` (0600) for the account's own peerctl: where the peer is, what verifies it, and where an admin key lies."""
    folder = settings.data_dir
    authority: str | None = None
    if settings.http_tls:
        path = folder / AUTHORITY_FILE
        path.write_text(authorities[0].pem)
        authority = str(path)
    key = str(folder / ADMIN_KEY_FILE) if settings.mesh_key is not None else None
    _replace(folder / CLIENT_FILE, json.dumps({"url": url, "ca": authority, "token": None, "key": key}))


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.chmod(0o600)
    fresh.write_text(text)
    fresh.replace(path)


def _is_literal(address: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, address)
        except OSError:  # a hardware address, or an IPv6 one with a scope
            continue
        return True
    return False


def _host_names() -> tuple[str, ...]:
    """The machine's own name where a certificate can hold it."""
    name = socket.gethostname()
    plain = name.isascii() and 0 < len(name) <= limits.HOST_NAME_CHARS_MAX and all(c.isalnum() or c in "-." for c in name)
    return (name.lower(),) if plain and name[0].isalnum() else ()
