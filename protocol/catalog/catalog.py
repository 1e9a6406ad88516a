"""Single-writer records of every peer, kept by all: cards, job summaries, later services and checks.

Each writer numbers its own changes within its run epoch; a newer epoch replaces everything of an older one. Changes are
pushed at once in a small mesh; rounds compare a root hash with one random peer and carry what is missing.

Only members' records are kept, and only live writers are brought to somebody who has never heard of them: what membership
has forgotten does not come back from a peer that forgets it later. Refuses to know what the values mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

import blake3

from protocol import limits
from protocol.effects import Effect
from protocol.events import Event, StreamReceived
from protocol.ids import PeerId
from protocol.kernel import Now
from protocol.signals import CatalogChanged, MemberChanged, MemberForgotten, Publish, Send, Signal
from protocol.wire.work import CatalogDelta, CatalogRoot, CatalogVersions

Output = Effect | Signal


@dataclass(slots=True)
class _Writer:
    """One writer's records. Invariant: everything up to `version` of `epoch` is reflected in `records`."""

    epoch: int
    version: int = 0
    records: dict[str, tuple[int, bytes | None]] = field(default_factory=dict)


class Catalog:
    """Invariants: only this peer's own `Publish` makes records under its own name; a writer's version never falls; every writer
    is this peer or a member, in whatever state."""

    def __init__(self, *, me: PeerId, run_epoch: int, random: Random) -> None:
        self._me = me
        self._random = random
        self._writers: dict[PeerId, _Writer] = {me: _Writer(run_epoch)}
        self._members: dict[PeerId, None] = {}  # in whatever state, until they are forgotten
        self._live: list[PeerId] = []
        self._round_at: float | None = None
        self._root: bytes | None = None

    # reading

    def get(self, writer: PeerId, key: str) -> bytes | None:
        """What `writer` says under `key`, or None."""
        held = self._writers.get(writer)
        return held.records.get(key, (0, None))[1] if held else None

    # the machine

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Events: catalogue messages. Signals: MemberChanged, MemberForgotten, Publish."""
        match event:
            case StreamReceived(sender, CatalogRoot(root)):
                return [] if root == self.root() else [Send(sender, CatalogVersions(self._vector(), reply=True))]
            case StreamReceived(sender, CatalogVersions(versions, reply)):
                return self._compare(sender, versions, reply)
            case StreamReceived(sender, CatalogDelta() as delta):
                return self._take(sender, delta)
            case Publish(key, value):
                return self._publish(key, value)
            case MemberChanged():
                return self._member(event, now)
            case MemberForgotten(peer):
                return self._forget(peer)
            case _:
                return []

    def on_deadline(self, now: Now) -> list[Output]:
        """One round: compare roots with one random live peer."""
        if self._round_at is None or now.monotonic_s < self._round_at:
            return []
        self._round_at = now.monotonic_s + limits.CATALOG_ROUND_S * self._random.uniform(0.8, 1.2) if self._live else None
        return [Send(self._random.choice(self._live), CatalogRoot(self.root()), light=True)] if self._live else []

    def next_deadline(self) -> float | None:
        return self._round_at

    # rules

    def root(self) -> bytes:
        """16 bytes over (writer, epoch, version) of this peer and of everybody live. Those who went are not in it: peers that
        started since do not have their records, nor those who have forgotten them."""
        if self._root is None:
            live = {self._me, *self._live}
            hasher = blake3.blake3()
            for writer, epoch, version in self._vector():
                if writer in live:
                    hasher.update(f"{writer}:{epoch}:{version};".encode())
            self._root = hasher.digest(16)
        return self._root

    def _vector(self) -> tuple[tuple[PeerId, int, int], ...]:
        return tuple((writer, self._writers[writer].epoch, self._writers[writer].version) for writer in sorted(self._writers))

    def _member(self, changed: MemberChanged, now: Now) -> list[Output]:
        if changed.peer == self._me:
            return []
        self._members[changed.peer] = None
        is_live = changed.state in ("alive", "suspect")
        if is_live != (changed.peer in self._live):
            self._root = None
        if is_live and changed.peer not in self._live:
            self._live.append(changed.peer)
            if self._round_at is None:
                self._round_at = now.monotonic_s + limits.CATALOG_ROUND_S
            return [Send(changed.peer, CatalogVersions(self._vector(), reply=True))]
        if not is_live and changed.peer in self._live:
            self._live.remove(changed.peer)
        return []

    def _forget(self, peer: PeerId) -> list[Output]:
        """Drop what a member said, as if it had taken everything back."""
        self._members.pop(peer, None)
        held = self._writers.pop(peer, None)
        self._root = None
        said = [] if held is None else sorted(key for key, (_, value) in held.records.items() if value is not None)
        return [CatalogChanged(peer, key, None) for key in said]

    def _publish(self, key: str, value: bytes | None) -> list[Output]:
        assert len(key) <= limits.CATALOG_KEY_CHARS_MAX
        assert value is None or len(value) <= limits.CATALOG_VALUE_BYTES_MAX
        mine = self._writers[self._me]
        if mine.records.get(key, (0, None))[1] == value:
            return []
        mine.version += 1
        mine.records[key] = (mine.version, value)
        self._root = None
        delta = CatalogDelta(
            spans=((self._me, mine.epoch, mine.version - 1, mine.version),),
            records=((self._me, mine.version, key, value),),
        )
        pushed = self._live if len(self._live) <= limits.CATALOG_PUSH_PEERS else self._random.sample(self._live, 3)
        return [CatalogChanged(self._me, key, value), *(Send(peer, delta) for peer in pushed)]

    def _compare(self, sender: PeerId, versions: Iterable[tuple[PeerId, int, int]], reply: bool) -> list[Output]:
        theirs = {writer: (epoch, version) for writer, epoch, version in versions}
        self._renew(theirs.get(self._me, (0, 0)))
        outputs: list[Output] = [Send(sender, delta) for delta in self._deltas(theirs)]
        behind = any(writer in self._members and told > self._mine(writer) for writer, told in theirs.items())
        if reply and behind:
            outputs.append(Send(sender, CatalogVersions(self._vector(), reply=False)))
        return outputs

    def _renew(self, known: tuple[int, int]) -> None:
        """Others know of records of this peer that it has not made: its disk is an older one put back. What it says now replaces
        them, in an epoch of its own."""
        mine = self._writers[self._me]
        if known > (mine.epoch, mine.version) and known[0] < limits.EPOCH_MAX:
            mine.epoch, self._root = known[0] + 1, None

    def _mine(self, writer: PeerId) -> tuple[int, int]:
        held = self._writers.get(writer)
        return (held.epoch, held.version) if held else (0, 0)

    def _deltas(self, theirs: dict[PeerId, tuple[int, int]]) -> list[CatalogDelta]:
        """What the holder of `theirs` lacks, in messages of bounded size, each span complete in itself. Writers that went are
        not brought to whoever does not know them: it has come later, or has forgotten them."""
        deltas: list[CatalogDelta] = []
        live = {self._me, *self._live}
        for writer in sorted(self._writers):
            held = self._writers[writer]
            epoch, version = theirs.get(writer, (0, 0))
            base = version if epoch == held.epoch else 0
            if writer not in theirs and writer not in live:
                continue
            if (epoch, version) < (held.epoch, held.version):
                deltas.extend(_spans(writer, held, base))
        return _merged(deltas)

    def _take(self, sender: PeerId, delta: CatalogDelta) -> list[Output]:
        by_writer: dict[PeerId, list[tuple[int, str, bytes | None]]] = {}
        for writer, version, key, value in delta.records:
            by_writer.setdefault(writer, []).append((version, key, value))
        outputs: list[Output] = []
        gap = False
        for writer, epoch, base, top in delta.spans:
            if writer == self._me:
                self._renew((epoch, top))
            if writer not in self._members:  # ourselves, or one who will bring its records when it is known here
                continue
            if writer == sender and (epoch, top) < self._mine(writer):  # it may have started on an older disk: see `_renew`
                outputs.append(Send(sender, CatalogDelta(((writer, *self._mine(writer), self._mine(writer)[1]),), ())))
                continue
            taken = self._take_span(writer, epoch, base, top, by_writer.get(writer, []))
            gap = gap or taken is None
            outputs.extend(taken or ())
        if gap:
            outputs.append(Send(sender, CatalogVersions(self._vector(), reply=False)))
        return outputs

    def _take_span(
        self, writer: PeerId, epoch: int, base: int, top: int, records: list[tuple[int, str, bytes | None]]
    ) -> list[Output] | None:
        """Apply one span; None when something before it is missing."""
        held = self._writers.get(writer)
        if held is None and len(self._writers) >= limits.CATALOG_WRITERS_MAX:
            return []
        if held is not None and (epoch, top) <= (held.epoch, held.version):
            return []
        current = held if held is not None and held.epoch == epoch else _Writer(epoch)
        if base > current.version:
            return None
        outputs: list[Output] = []
        if held is not None and current is not held:
            renewed = [key for _, key, _ in records]
            outputs.extend(CatalogChanged(writer, key, None) for key in sorted(held.records) if key not in renewed)
        self._writers[writer] = current
        self._root = None
        for version, key, value in sorted(records, key=lambda record: record[0]):
            known = len(current.records) < limits.CATALOG_KEYS_PER_WRITER_MAX or key in current.records
            if version > current.records.get(key, (0, None))[0] and version <= top and known:
                current.records[key] = (version, value)
                outputs.append(CatalogChanged(writer, key, value))
        current.version = top
        return outputs


def _spans(writer: PeerId, held: _Writer, base: int) -> list[CatalogDelta]:
    newer = sorted((version, key, value) for key, (version, value) in held.records.items() if version > base)
    deltas: list[CatalogDelta] = []
    pieces: list[tuple[PeerId, int, str, bytes | None]] = []
    start, size = base, 0
    for version, key, value in newer:
        pieces.append((writer, version, key, value))
        size += 64 + len(key) + len(value or b"")
        if size > limits.MESSAGE_BYTES_MAX // 4:
            deltas.append(CatalogDelta(((writer, held.epoch, start, version),), tuple(pieces)))
            pieces, start, size = [], version, 0
    if pieces or not deltas:
        deltas.append(CatalogDelta(((writer, held.epoch, start, held.version),), tuple(pieces)))
    return deltas


def _merged(deltas: list[CatalogDelta]) -> list[CatalogDelta]:
    """Small deltas of many writers share a message."""
    merged: list[CatalogDelta] = []
    spans: list[tuple[PeerId, int, int, int]] = []
    records: list[tuple[PeerId, int, str, bytes | None]] = []
    size = 0
    for delta in deltas:
        weight = 64 + sum(96 + len(key) + len(value or b"") for _, _, key, value in delta.records)
        if spans and size + weight > limits.MESSAGE_BYTES_MAX // 2:
            merged.append(CatalogDelta(tuple(spans), tuple(records)))
            spans, records, size = [], [], 0
        spans.extend(delta.spans)
        records.extend(delta.records)
        size += weight
    if spans:
        merged.append(CatalogDelta(tuple(spans), tuple(records)))
    return merged
