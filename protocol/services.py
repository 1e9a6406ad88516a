"""Services and their checks as everyone speaks of them: what is registered, what is published, what is asked.

Each peer is the single writer of its own; the forms here go through the journal and the catalogue. Decides the shape of a
row. Refuses to know how a check changes its status (`protocol.health.checks`) and what a client calls its fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from protocol import limits
from protocol.cards import CHECK_STATUSES, CheckStatus
from protocol.ids import PeerId
from protocol.rows import Reader, pack, unpack_list
from protocol.signals import MemberState

SERVICE_PREFIX: Final = "service/"
CHECK_PREFIX: Final = "check/"
OWN_SERVICE: Final = "rendermesh"
ALIVE_CHECK: Final = "serfHealth"  # the name under which Consul's clients look for it

CheckKind = Literal["http", "tcp", "ttl", "maintenance", ""]
CHECK_KINDS: Final[tuple[CheckKind, ...]] = ("http", "tcp", "ttl", "maintenance", "")
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Service:
    """One instance of a service. `address` empty: the peer's own; `meta` sorted by key.

    `tagged` are further addresses by name, as (name, address, port), sorted."""

    id: str
    name: str
    tags: tuple[str, ...] = ()
    address: str = ""
    port: int = 0
    meta: Pairs = ()
    weight_passing: int = 1
    weight_warning: int = 1
    tag_override: bool = False
    tagged: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """How something is checked; this never leaves the peer, since headers may carry secrets.

    `target` is a URL (http) or HOST:PORT (tcp). `service` empty: the check is about the peer, and with it about every
    service there. A threshold of n: the n-th result in a row counts. Times in seconds; `deregister_after_s` 0: never."""

    id: str
    name: str
    kind: CheckKind
    service: str = ""
    notes: str = ""
    target: str = ""
    method: str = "GET"
    headers: Pairs = ()
    verify_tls: bool = True
    server_name: str = ""
    interval_s: float = 0.0
    timeout_s: float = limits.CHECK_TIMEOUT_S_DEFAULT
    ttl_s: float = 0.0
    success_before_passing: int = 1
    failures_before_warning: int = 1
    failures_before_critical: int = 1
    deregister_after_s: float = 0.0
    initial: CheckStatus = "critical"


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A check as it stands: what is published and shown. `service` empty: about the peer itself."""

    id: str
    name: str
    status: CheckStatus
    kind: CheckKind = ""
    notes: str = ""
    output: str = ""
    service: str = ""


# what is asked of this peer


@dataclass(frozen=True, slots=True)
class RegisterService:
    """Add or replace a service. Checks of these ids are replaced; `replace_checks`: its other checks go."""

    service: Service
    checks: tuple[CheckSpec, ...] = ()
    replace_checks: bool = False


@dataclass(frozen=True, slots=True)
class DeregisterService:
    """Forget a service and its checks; one that is not there is no error."""

    service: str


@dataclass(frozen=True, slots=True)
class SetMaintenance:
    """Mark a service as out of order, or end that."""

    service: str
    on: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RegisterCheck:
    """Add or replace one check; its service must be there."""

    check: CheckSpec


@dataclass(frozen=True, slots=True)
class DeregisterCheck:
    """Forget a check; one that is not there is no error."""

    check: str


@dataclass(frozen=True, slots=True)
class UpdateTtl:
    """The application says how it is, and has said so in time."""

    check: str
    status: CheckStatus
    output: str


Command = RegisterService | DeregisterService | SetMaintenance | RegisterCheck | DeregisterCheck | UpdateTtl


# what is seen of all peers


@dataclass(frozen=True, slots=True)
class Stamped:
    """The counter of the directory at which something appeared and last changed."""

    created: int
    changed: int


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """One peer as a node. `name` is `<name>-<8 hex of id>`; `host` its literal address, `port` its user port (0: unknown)."""

    peer: PeerId
    name: str
    state: MemberState
    host: str
    port: int
    meta: Pairs
    version: str
    stamp: Stamped


@dataclass(frozen=True, slots=True)
class ProtocolSeen:
    """The lowest and the highest version of the mesh's protocol that a peer speaks, and the one that is spoken with it now."""

    lowest: int
    highest: int
    current: int


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """A service at the peer that publishes it."""

    node: NodeSeen
    service: Service
    stamp: Stamped


@dataclass(frozen=True, slots=True)
class CheckSeen:
    """A check at the peer that publishes it; `service` is None for a check of the peer itself."""

    node: NodeSeen
    check: CheckRow
    service: Service | None
    stamp: Stamped


# what may change


ALL_NODES: Final = "nodes"
ALL_SERVICES: Final = "services"
ALL_CHECKS: Final = "checks"


def service_topic(name: str) -> str:
    """What changes when an instance of the service, or a check of one, does."""
    return f"service/{name}"


def node_topic(peer: PeerId) -> str:
    """What changes when anything about the peer does."""
    return f"node/{peer}"


# rows


def service_to_bytes(service: Service) -> bytes:
    """The stored and published form."""
    s = service
    return pack(
        [
            s.id, s.name, list(s.tags), s.address, s.port, [list(pair) for pair in s.meta], s.weight_passing, s.weight_warning,
            s.tag_override, [list(row) for row in s.tagged],
        ]
    )  # fmt: skip


def service_from_bytes(data: bytes) -> Service:
    """Raises `Malformed`."""
    r = Reader(unpack_list(data, bytes_max=limits.CATALOG_VALUE_BYTES_MAX))
    return Service(
        id=r.text(limits.SERVICE_ID_CHARS_MAX), name=r.text(limits.SERVICE_ID_CHARS_MAX),
        tags=r.texts(limits.SERVICE_TAGS_MAX, limits.SERVICE_TAG_CHARS_MAX), address=r.text(limits.CHECK_TARGET_CHARS_MAX),
        port=r.integer(0, 65_535), meta=r.each(_meta_pair, limits.SERVICE_META_MAX),
        weight_passing=r.integer(0, 65_535), weight_warning=r.integer(0, 65_535), tag_override=r.flag(),
        tagged=r.each(_tagged, limits.SERVICE_META_MAX) if r.more else (),
    )  # fmt: skip


def check_to_bytes(check: CheckRow) -> bytes:
    """The published form."""
    c = check
    return pack([c.id, c.name, c.status, c.kind, c.notes, c.output, c.service])


def check_from_bytes(data: bytes) -> CheckRow:
    """Raises `Malformed`."""
    r = Reader(unpack_list(data, bytes_max=limits.CATALOG_VALUE_BYTES_MAX))
    return CheckRow(
        id=r.text(limits.CHECK_ID_CHARS_MAX), name=r.text(limits.CHECK_NAME_CHARS_MAX),
        status=r.choice(CHECK_STATUSES), kind=r.choice(CHECK_KINDS), notes=r.text(limits.CHECK_NOTES_CHARS_MAX),
        output=r.text(limits.CHECK_OUTPUT_BYTES_MAX), service=r.text(limits.SERVICE_ID_CHARS_MAX),
    )  # fmt: skip


def spec_to_bytes(spec: CheckSpec) -> bytes:
    """The stored form."""
    s = spec
    return pack(
        [
            s.id, s.name, s.kind, s.service, s.notes, s.target, s.method, [list(pair) for pair in s.headers], s.verify_tls,
            s.server_name, s.interval_s, s.timeout_s, s.ttl_s, s.success_before_passing, s.failures_before_warning,
            s.failures_before_critical, s.deregister_after_s, s.initial,
        ]
    )  # fmt: skip


def spec_from_bytes(data: bytes) -> CheckSpec:
    """Raises `Malformed`."""
    r = Reader(unpack_list(data, bytes_max=limits.VALUE_BYTES_MAX))
    return CheckSpec(
        id=r.text(limits.CHECK_ID_CHARS_MAX), name=r.text(limits.CHECK_NAME_CHARS_MAX), kind=r.choice(CHECK_KINDS),
        service=r.text(limits.SERVICE_ID_CHARS_MAX), notes=r.text(limits.CHECK_NOTES_CHARS_MAX),
        target=r.text(limits.CHECK_TARGET_CHARS_MAX), method=r.text(16), headers=r.each(_header, limits.CHECK_HEADERS_MAX),
        verify_tls=r.flag(), server_name=r.text(limits.CHECK_TARGET_CHARS_MAX), interval_s=r.number(), timeout_s=r.number(),
        ttl_s=r.number(), success_before_passing=r.integer(1, limits.CHECK_THRESHOLD_MAX),
        failures_before_warning=r.integer(1, limits.CHECK_THRESHOLD_MAX),
        failures_before_critical=r.integer(1, limits.CHECK_THRESHOLD_MAX), deregister_after_s=r.number(),
        initial=r.choice(CHECK_STATUSES),
    )  # fmt: skip


def _meta_pair(row: Any) -> tuple[str, str]:
    r = Reader(row)
    return r.text(limits.SERVICE_META_KEY_CHARS_MAX), r.text(limits.SERVICE_META_VALUE_CHARS_MAX)


def _header(row: Any) -> tuple[str, str]:
    r = Reader(row)
    return r.text(limits.SERVICE_META_KEY_CHARS_MAX), r.text(limits.CHECK_TARGET_CHARS_MAX)


def _tagged(row: Any) -> tuple[str, str, int]:
    r = Reader(row)
    return r.text(limits.SERVICE_META_KEY_CHARS_MAX), r.text(limits.CHECK_TARGET_CHARS_MAX), r.integer(0, 65_535)
