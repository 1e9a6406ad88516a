"""What a peer tells about itself where others look for it, and what is believed of what others tell.

Decides the fields of the TXT record and of Consul's metadata, which are the same: `txtvers=1 id= ep= m= v= gp= tls=`.
Refuses secrets and load, and refuses to judge: who passes here is a candidate, and the mesh key decides.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from protocol.ids import Address, PeerId, is_hex
from protocol.limits import ADDRESSES_PER_SEED_MAX, ADVERT_FIELD_BYTES_MAX, ADVERT_LABEL_CHARS_MAX

TXT_VERSION: Final = "1"
MESH_PREFIX_BYTES: Final = 8
TYPE: Final = "_rendermesh._tcp.local."


@dataclass(frozen=True, slots=True)
class Advert:
    """This peer as others shall find it.

    `port` is the user port, over UDP that of gossip; `bind` and `advertise` are literal IP addresses; `meshes` gives the
    prefixes (`mesh_prefix`) of the keys in the ring at this moment, the primary's first: a rotation changes them."""

    peer: PeerId
    name: str
    meshes: Callable[[], tuple[str, ...]]
    port: int
    tls: bool
    run_epoch: int
    version: str
    bind: str
    advertise: str | None = None

    @property
    def label(self) -> str:
        """`<short name>-<8 hex of the id>`: one DNS label."""
        short = re.sub(r"[^a-z0-9-]+", "-", self.name.partition(".")[0].lower()).strip("-")[:ADVERT_LABEL_CHARS_MAX]
        return f"{short or 'peer'}-{self.peer[:8]}"

    def fields(self) -> dict[str, str]:
        """What stands in TXT and metadata. Every entry fits a TXT string."""
        return {
            "txtvers": TXT_VERSION, "id": self.peer, "ep": str(self.run_epoch), "m": self.meshes()[0],
            "v": self.version[:32], "gp": str(self.port), "tls": "1" if self.tls else "0",
        }  # fmt: skip


def mesh_prefix(subkey: bytes) -> str:
    """16 hex digits that only holders of the mesh key can tell from any others; `subkey` is one derived for this purpose."""
    return hmac.digest(subkey, b"rendermesh discovery", "sha256")[:MESH_PREFIX_BYTES].hex()


@dataclass(frozen=True, slots=True)
class Heard:
    """Another peer's fields, checked. `mesh` is None where the source says nothing of it."""

    peer: PeerId
    mesh: str | None
    gossip_port: int


def read_fields(fields: Mapping[str, str], *, port: int | None, mesh_required: bool) -> Heard | None:
    """What others tell, or None for what no peer of this version says. `port` stands in where there is no `gp`."""
    if fields.get("txtvers", TXT_VERSION) != TXT_VERSION or not is_hex(fields.get("id"), 64):
        return None
    mesh = fields.get("m")
    if (mesh is None and mesh_required) or (mesh is not None and not is_hex(mesh, 2 * MESH_PREFIX_BYTES)):
        return None
    gossip_port = _port(fields["gp"]) if "gp" in fields else port
    if gossip_port is None or not 1 <= gossip_port <= 65_535:
        return None
    return Heard(PeerId(fields["id"]), mesh, gossip_port)


def _port(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) else None


def read_txt(properties: Mapping[bytes, bytes | None]) -> dict[str, str]:
    """TXT entries as text; those without a value, in other alphabets or too long are left out."""
    fields: dict[str, str] = {}
    for key, value in properties.items():
        if value is not None and len(key) + len(value) <= ADVERT_FIELD_BYTES_MAX and key.isascii() and value.isascii():
            fields[key.decode("ascii").lower()] = value.decode("ascii")
    return fields


def usable(hosts: Iterable[str], port: int, *, bind: str, loopback: bool) -> tuple[Address, ...]:
    """Those of `hosts` that a socket bound to `bind` can send to, at `port`.

    Loopback addresses mean this machine alone: they count only where `loopback` says that they were heard there.
    IPv6 link-local addresses mean nothing without a scope, and candidates have none."""
    family = ipaddress.ip_address(bind).version
    found: list[Address] = []
    for host in hosts:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            continue
        odd = address.is_unspecified or address.is_multicast or address.is_link_local or "%" in host
        if address.version == family and not odd and (loopback or not address.is_loopback):
            found.append(Address(str(address), port))
    return tuple(dict.fromkeys(found))[:ADDRESSES_PER_SEED_MAX]
