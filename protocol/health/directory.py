"""Every peer's services and checks, as this one has heard of them; with each peer's life as a check of its own.

Decides what is visible: a failed peer stays with a critical check until membership forgets it, a left one is gone. Counts
changes, so that a client can wait for the next one. Refuses to know what a client's query looks like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

import blake3

from protocol import limits
from protocol.cards import PeerCard
from protocol.effects import Effect
from protocol.errors import Malformed
from protocol.events import Event
from protocol.ids import PeerId
from protocol.kernel import Now
from protocol.services import (
    ALIVE_CHECK,
    ALL_CHECKS,
    ALL_NODES,
    ALL_SERVICES,
    CHECK_PREFIX,
    OWN_SERVICE,
    SERVICE_PREFIX,
    CheckRow,
    CheckSeen,
    NodeSeen,
    Service,
    ServiceSeen,
    Stamped,
    check_from_bytes,
    node_topic,
    service_from_bytes,
    service_topic,
)
from protocol.signals import CatalogChanged, MemberForgotten, PeerChanged, Signal

COUNTER_BITS: Final = 32
ALIVE: Final = CheckRow(ALIVE_CHECK, "Serf Health Status", "passing", output="Agent alive and reachable")
DEAD: Final = replace(ALIVE, status="critical", output="Agent not live or unreachable")
LIVE: Final = ("alive", "suspect")
_RESERVED: Final = (ALIVE_CHECK, f"{OWN_SERVICE}:")
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]")


def node_name(peer: PeerId, card: PeerCard | None) -> str:
    """`<name>-<8 hex of id>`, of letters that no client trips over."""
    name = _ODD.sub("-", card.name) if card is not None else ""
    return f"{name or 'peer'}-{peer[:8]}"


NEVER: Final = Stamped(0, 0)


@dataclass(slots=True)
class _Held:
    """A row with its stamps."""

    value: Any
    stamp: Stamped


@dataclass(slots=True)
class _Writer:
    """What one peer publishes. `node` is None until membership has spoken of it.

    What the card says (the peer as a service, its self-checks) is derived when it is read: a mesh has many peers. `own` is
    the stamp of that, `life` the one of the check of the peer's life."""

    node: NodeSeen | None = None
    card: PeerCard | None = None
    own: Stamped = NEVER
    life: Stamped = NEVER
    services: dict[str, _Held] = field(default_factory=dict)
    checks: dict[str, _Held] = field(default_factory=dict)


class Directory:
    """Invariants: `index` never falls, also over restarts (the run epoch is its upper half); a row that could be seen to
    have changed has raised the index of every topic that shows it."""

    def __init__(self, *, me: PeerId, run_epoch: int) -> None:
        self._me = me
        self._writers: dict[PeerId, _Writer] = {}
        self._touched: dict[str, int] = {}
        self._floor = self.index = (run_epoch << COUNTER_BITS) + 1

    # reading

    def index_of(self, topic: str) -> int:
        """At which index something about the topic changed last; above zero."""
        return self._touched.get(topic, self._floor)

    def members(self) -> list[NodeSeen]:
        """Every peer, those that left included, by name."""
        nodes = [writer.node for writer in self._writers.values() if writer.node is not None]
        return sorted(nodes, key=lambda node: node.name)

    def nodes(self) -> list[NodeSeen]:
        """Every peer that has not left, by name."""
        return [node for node in self.members() if node.state != "left"]

    def node(self, text: str) -> NodeSeen | None:
        """By name or by id."""
        return next((node for node in self.nodes() if text in (node.name, node.peer)), None)

    def services(self, node: NodeSeen) -> list[ServiceSeen]:
        """A peer's services, by id; the peer itself as a service among them."""
        writer = self._writers[node.peer]
        own = _own_service(writer.card)
        rows = [ServiceSeen(node, held.value, held.stamp) for held in writer.services.values()]
        rows += [ServiceSeen(node, own, writer.own)] if own is not None else []
        return sorted(rows, key=lambda seen: seen.service.id)

    def instances(self, name: str) -> list[ServiceSeen]:
        """Every instance of a service, by node and id."""
        return [seen for node in self.nodes() for seen in self.services(node) if seen.service.name == name]

    def names(self) -> dict[str, list[str]]:
        """Services and the tags of all their instances."""
        tags: dict[str, dict[str, None]] = {}
        for node in self.nodes():
            for seen in self.services(node):
                tags.setdefault(seen.service.name, {}).update(dict.fromkeys(seen.service.tags))
        return {name: sorted(tags[name]) for name in sorted(tags)}

    def checks(self, node: NodeSeen) -> list[CheckSeen]:
        """A peer's checks, by id; that of its life and its self-checks among them."""
        writer = self._writers[node.peer]
        alive = node.state in LIVE
        rows = [CheckSeen(node, ALIVE if alive else DEAD, None, writer.life)]
        own = _own_service(writer.card)
        rows += [CheckSeen(node, row, own, writer.own) for row in _own_checks(writer.card)]
        for held in writer.checks.values():
            service = writer.services.get(held.value.service)
            rows.append(CheckSeen(node, held.value, service.value if service is not None else None, held.stamp))
        return sorted(rows, key=lambda seen: seen.check.id)

    def checks_of_all(self) -> Iterator[CheckSeen]:
        """Every check of every peer, by node and id."""
        for node in self.nodes():
            yield from self.checks(node)

    def checks_for(self, instance: ServiceSeen) -> list[CheckSeen]:
        """The checks that speak about one instance: its own and those of its peer."""
        return [check for check in self.checks(instance.node) if check.check.service in ("", instance.service.id)]

    def leader(self) -> NodeSeen | None:
        """The live peer that comes first by rendezvous hashing: all name the same one, and it rules over nothing."""
        live = [node for node in self.nodes() if node.state in LIVE and node.port]
        return max(live, key=lambda node: blake3.blake3(b"leader:" + node.peer.encode()).digest(), default=None)

    # the machine

    def handle(self, event: Event | Signal, now: Now) -> list[Effect | Signal]:
        """Signals: PeerChanged, MemberForgotten, CatalogChanged (services and checks). Says nothing: it is read."""
        match event:
            case PeerChanged():
                self._peer(event)
            case MemberForgotten(peer):
                self._forget(peer)
            case CatalogChanged(writer, key, value) if key.startswith(SERVICE_PREFIX):
                self._service(writer, key.removeprefix(SERVICE_PREFIX), value)
            case CatalogChanged(writer, key, value) if key.startswith(CHECK_PREFIX):
                self._check(writer, key.removeprefix(CHECK_PREFIX), value)
            case _:
                pass
        return []

    def on_deadline(self, now: Now) -> list[Effect | Signal]:
        return []

    def next_deadline(self) -> float | None:
        return None

    # rules

    def _writer(self, peer: PeerId) -> _Writer | None:
        if peer not in self._writers and len(self._writers) >= limits.CATALOG_WRITERS_MAX:
            return None
        return self._writers.setdefault(peer, _Writer())

    def _peer(self, changed: PeerChanged) -> None:
        writer = self._writer(changed.peer)
        if writer is None:
            return
        self._own(writer, changed)
        self._node(writer, changed)

    def _own(self, writer: _Writer, changed: PeerChanged) -> None:
        """What its card says, where that can be seen: free slots cannot."""
        old, writer.card = writer.card, changed.card
        if old is changed.card or _shown(old) == _shown(changed.card):
            return
        at = self._touch([ALL_SERVICES, ALL_CHECKS, node_topic(changed.peer), service_topic(OWN_SERVICE)])
        writer.own = Stamped(writer.own.created or at, at)

    def _node(self, writer: _Writer, changed: PeerChanged) -> None:
        card, old = changed.card, writer.node
        meta = tuple(sorted(card.labels)) if card is not None else ()
        version, port = card.version if card is not None else "", _port(card)
        name = node_name(changed.peer, card)
        stamp = old.stamp if old is not None else NEVER
        node = NodeSeen(changed.peer, name, changed.state, changed.host, port, meta, version, stamp)
        if old == node:
            return
        topics = [ALL_NODES, ALL_SERVICES, ALL_CHECKS, node_topic(changed.peer), *_names(writer)]
        at = self._touch(topics)
        if old is None or replace(old, state=node.state) != node or "left" in (old.state, node.state):
            stamp = Stamped(stamp.created or at, at)
        if old is None or (old.state in LIVE) != (node.state in LIVE):
            writer.life = Stamped(writer.life.created or at, at)
        writer.node = replace(node, stamp=stamp)

    def _forget(self, peer: PeerId) -> None:
        writer = self._writers.pop(peer, None)
        if writer is not None and writer.node is not None:
            self._touch([ALL_NODES, ALL_SERVICES, ALL_CHECKS, node_topic(peer), *_names(writer)])

    def _service(self, peer: PeerId, key: str, value: bytes | None) -> None:
        writer = self._writer(peer)
        row = _read(service_from_bytes, value)
        if writer is None or key == OWN_SERVICE or (row is not None and row.id != key):
            return
        if row is None or key in writer.services or len(writer.services) <= limits.SERVICES_PER_PEER_MAX:
            self._put(writer, writer.services, key, row)

    def _check(self, peer: PeerId, key: str, value: bytes | None) -> None:
        writer = self._writer(peer)
        row = _read(check_from_bytes, value)
        if writer is None or key.startswith(_RESERVED) or (row is not None and (row.id != key or row.service == OWN_SERVICE)):
            return
        if row is None or key in writer.checks or len(writer.checks) <= limits.CHECKS_PER_PEER_MAX:
            self._put(writer, writer.checks, key, row)

    def _put(self, writer: _Writer, rows: dict[str, _Held], key: str, value: Service | CheckRow | None) -> None:
        held = rows.get(key)
        if (held.value if held is not None else None) == value:
            return
        topics = [*_topics(writer, held.value if held is not None else None), *_topics(writer, value)]
        at = self._touch(topics)
        if value is None:
            del rows[key]
        else:
            rows[key] = _Held(value, Stamped(held.stamp.created if held is not None else at, at))

    def _touch(self, topics: list[str]) -> int:
        self.index += 1
        if len(self._touched) > limits.DIRECTORY_TOPICS_MAX:
            self._touched.clear()
            self._floor = self.index
        for topic in topics:
            self._touched[topic] = self.index
        return self.index


def _topics(writer: _Writer, row: Service | CheckRow | None) -> list[str]:
    """What shows this row."""
    about = [node_topic(writer.node.peer)] if writer.node is not None else []
    match row:
        case Service():
            return [*about, ALL_SERVICES, service_topic(row.name)]
        case CheckRow(service=""):
            return [*about, ALL_CHECKS, *_names(writer)]
        case CheckRow():
            held = writer.services.get(row.service)
            return [*about, ALL_CHECKS, *([service_topic(held.value.name)] if held is not None else [])]
        case None:
            return []


def _names(writer: _Writer) -> list[str]:
    return [service_topic(OWN_SERVICE), *(service_topic(held.value.name) for held in writer.services.values())]


def _shown(card: PeerCard | None) -> object:
    """What of a card can be seen here."""
    if card is None:
        return None
    return card.url, card.version, card.labels, card.capabilities, card.checks, card.draining


def _read(read: Callable[[bytes], Any], value: bytes | None) -> Any:
    """A row, or None for one that was removed or that this peer cannot read."""
    try:
        return None if value is None else read(value)
    except Malformed:
        return None


def _port(card: PeerCard | None) -> int:
    try:
        return urlsplit(card.url).port or 0 if card is not None else 0
    except ValueError:
        return 0


def _own_service(card: PeerCard | None) -> Service | None:
    """The peer itself as a service: its user port, with labels and renderers as tags."""
    if card is None or not _port(card):
        return None
    renderers = {f"renderer={one.renderer}" for one in card.capabilities}
    tags = tuple(sorted({f"{key}={value}" for key, value in card.labels} | renderers))
    return Service(OWN_SERVICE, OWN_SERVICE, tags, port=_port(card), meta=(("url", card.url), ("version", card.version)))


def _own_checks(card: PeerCard | None) -> Iterator[CheckRow]:
    if card is None:
        return
    for check in card.checks:
        key = f"{OWN_SERVICE}:{check.name}"
        yield CheckRow(key, check.name, check.status, output=check.output, service=OWN_SERVICE)
    if card.draining:
        text = "this peer drains: it takes no new work"
        yield CheckRow(f"{OWN_SERVICE}:drain", "drain", "critical", "maintenance", notes=text, service=OWN_SERVICE)
