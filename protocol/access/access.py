"""API keys that every peer knows: a map from id to record that only grows, and only ever from valid to revoked.

Decides which keys exist and how peers come to agree on them: a change is pushed at once, rounds of bucket hashes mend what
a push has missed. Refuses to know secrets, addresses of callers and what a role may do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Final

import msgpack
from blake3 import blake3

from protocol import limits
from protocol.access.keys import KeyRecord, is_key_name, key_from_row, key_row, merge
from protocol.effects import Effect, Notice, Persist, Reply
from protocol.errors import Conflict, Invalid, Malformed, NotFound, Refusal
from protocol.events import Booted, Event, KeyCreateAsked, KeyRevokeAsked, StreamReceived
from protocol.ids import PeerId, RequestId
from protocol.kernel import Now
from protocol.records import PutValue
from protocol.rows import unpack_list
from protocol.signals import MemberChanged, Send, Signal
from protocol.wire.work import AccessRoot, AccessRows

Output = Effect | Signal
KEY_PREFIX: Final = "access/"


class Access:
    """Invariants: a record never disappears and a revoked one never becomes valid again; at most `limits.KEYS_MAX` are kept;
    what is told to others or answered is durable here first."""

    def __init__(self, *, me: PeerId, random: Random) -> None:
        self._me = me
        self._random = random
        self._records: dict[str, KeyRecord] = {}
        self._live: list[PeerId] = []
        self._round_at: float | None = None
        self._roots: tuple[bytes, ...] | None = None
        self.synced = False  # another peer's records have been compared with ours since the start

    # views

    def record(self, key: str) -> KeyRecord | None:
        """The record of one key, revoked or not."""
        return self._records.get(key)

    def records(self) -> list[KeyRecord]:
        """Every key, oldest first."""
        return sorted(self._records.values(), key=lambda record: (record.created_ms, record.id))

    # the machine

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Asks of the shell, records of other peers, and who is there to compare them with."""
        match event:
            case Booted(_, values):
                return self._boot(values.items())
            case KeyCreateAsked():
                return self._create(event, now)
            case KeyRevokeAsked():
                return self._revoke(event)
            case StreamReceived(sender, AccessRoot() as root) if sender != self._me:
                return self._compare(sender, root)
            case StreamReceived(sender, AccessRows(rows)) if sender != self._me:
                self.synced = True
                return self._take(rows)
            case MemberChanged():
                return self._member(event, now)
            case _:
                return []

    def on_deadline(self, now: Now) -> list[Output]:
        """One round: compare with one random live peer."""
        if self._round_at is None or now.monotonic_s < self._round_at:
            return []
        if not self._live:
            self._round_at = None
            return []
        self._round_at = now.monotonic_s + limits.ACCESS_ROUND_S * self._random.uniform(0.8, 1.2)
        return [Send(self._random.choice(self._live), AccessRoot(self.roots(), reply=True), light=True)]

    def next_deadline(self) -> float | None:
        """When the next round is due."""
        return self._round_at

    def roots(self) -> tuple[bytes, ...]:
        """A hash of each bucket of records."""
        if self._roots is None:
            buckets = [blake3() for _ in range(limits.ACCESS_BUCKETS)]
            for key in sorted(self._records):
                buckets[_bucket(key)].update(msgpack.packb(key_row(self._records[key])))
            self._roots = tuple(bucket.digest(limits.ACCESS_BUCKET_HASH_BYTES) for bucket in buckets)
        return self._roots

    # rules

    def _boot(self, values: Iterable[tuple[str, bytes]]) -> list[Output]:
        outputs: list[Output] = []
        for name, value in sorted(values):
            if not name.startswith(KEY_PREFIX):
                continue
            try:
                record = key_from_row(unpack_list(value, bytes_max=limits.CATALOG_VALUE_BYTES_MAX))
            except Malformed as fault:  # the key is then unknown: a door that stays closed
                outputs.append(Notice("key_unreadable", "error", fields={"record": name, "reason": str(fault)}))
                continue
            self._records[record.id] = record
        self._roots = None
        return outputs

    def _create(self, ask: KeyCreateAsked, now: Now) -> list[Output]:
        known = self._records.get(ask.key)
        if known is not None:  # the same ask again, as after a crash between the file and its record
            same = known.hash == ask.hash and not known.revoked
            return [Reply(ask.request, known if same else Conflict("key_id_taken", "another key has this id; ask again"))]
        if not is_key_name(ask.name):
            return [Reply(ask.request, _bad_name())]
        if len(self._records) >= limits.KEYS_MAX:
            text = f"this mesh has had {limits.KEYS_MAX} keys; no more can be made"
            return [Reply(ask.request, Conflict("too_many_keys", text))]
        record = KeyRecord(ask.key, ask.name, ask.role, ask.hash, now.wall_ms)
        fields = {"key": record.id, "name": record.name, "role": record.role}
        return [*self._keep([record], push=True), Reply(ask.request, record), Notice("key_created", fields=fields)]

    def _revoke(self, ask: KeyRevokeAsked) -> list[Output]:
        found = self._find(ask.request, ask.text)
        if isinstance(found, Reply):
            return [found]
        if found.revoked:
            return [Reply(ask.request, found)]
        admins = [record for record in self._records.values() if record.role == "admin" and not record.revoked]
        if admins == [found]:
            text = "this is the last admin key, and without one nobody could make another; make one first"
            return [Reply(ask.request, Conflict("last_admin_key", text))]
        record = replace(found, revoked=True)
        fields = {"key": record.id, "name": record.name, "role": record.role}
        return [*self._keep([record], push=True), Reply(ask.request, record), Notice("key_revoked", fields=fields)]

    def _find(self, request: RequestId, text: str) -> KeyRecord | Reply:
        """By id, else by the name of the one valid key that is called so."""
        exact = self._records.get(text)
        named = [record for record in self._records.values() if record.name == text and not record.revoked]
        if exact is not None or len(named) == 1:
            return exact or named[0]
        refusal: Refusal = NotFound("no_such_key", "there is no such key; name it by its id, as GET /api/v1/tokens lists them")
        if named:
            ids = ", ".join(sorted(record.id for record in named)[:8])
            refusal = Conflict("ambiguous_key", f"several keys have this name; name one by its id: {ids}")
        return Reply(request, refusal)

    def _keep(self, records: list[KeyRecord], *, push: bool) -> list[Output]:
        for record in records:
            self._records[record.id] = record
        self._roots = None
        rows = tuple(PutValue(f"{KEY_PREFIX}{record.id}", msgpack.packb(key_row(record))) for record in records)
        outputs: list[Output] = [Persist(rows)]
        if push:
            outputs.extend(Send(peer, rows_message) for peer in self._pushed() for rows_message in _messages(records))
        return outputs

    def _pushed(self) -> list[PeerId]:
        few = limits.ACCESS_PUSH_FEW
        return self._live if len(self._live) <= limits.ACCESS_PUSH_PEERS else self._random.sample(self._live, few)

    def _compare(self, sender: PeerId, theirs: AccessRoot) -> list[Output]:
        mine = self.roots()
        differing = [bucket for bucket in range(limits.ACCESS_BUCKETS) if mine[bucket] != theirs.buckets[bucket]]
        if not differing:
            self.synced = True
            return []
        records = [self._records[key] for key in sorted(self._records) if _bucket(key) in differing]
        outputs: list[Output] = [Send(sender, message) for message in _messages(records)]
        return [*outputs, Send(sender, AccessRoot(mine, reply=False))] if theirs.reply else outputs

    def _take(self, rows: Iterable[KeyRecord]) -> list[Output]:
        news: dict[str, KeyRecord] = {}
        for row in rows:
            known = news.get(row.id) or self._records.get(row.id)
            joined = row if known is None else merge(known, row)
            has_room = known is not None or len(self._records) + len(news) < limits.KEYS_MAX
            if joined != known and has_room:
                news[row.id] = joined
        if not news:
            return []
        return self._keep(list(news.values()), push=len(self._live) > limits.ACCESS_PUSH_PEERS)

    def _member(self, changed: MemberChanged, now: Now) -> list[Output]:
        if changed.peer == self._me:
            return []
        is_live = changed.state in ("alive", "suspect")
        if is_live and changed.peer not in self._live:
            self._live.append(changed.peer)
            if self._round_at is None:
                self._round_at = now.monotonic_s + limits.ACCESS_ROUND_S
            return [Send(changed.peer, AccessRoot(self.roots(), reply=True))]
        if not is_live and changed.peer in self._live:
            self._live.remove(changed.peer)
        return []


def _bucket(key: str) -> int:
    """By the first of the id's hex digits."""
    return int(key[0], 16)


def _messages(records: list[KeyRecord]) -> list[AccessRows]:
    step = limits.KEY_ROWS_PER_MESSAGE_MAX
    return [AccessRows(tuple(records[start : start + step])) for start in range(0, len(records), step)]


def _bad_name() -> Invalid:
    """It does not repeat the name, which might be somebody's key."""
    allowed = f"1 to {limits.KEY_NAME_CHARS_MAX} letters, digits, spaces, '.', '_', '@' or '-'"
    return Invalid("bad_key_name", f"name: {allowed} are needed, and no key itself")
