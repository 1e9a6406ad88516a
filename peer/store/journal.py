"""Facts and values as checksummed rows, durable when `commit` returns.

Decides how a record becomes a row and when a stored row is no longer believed. Refuses to know what a fact says (the row
format is `protocol.ledger.rows`) and how transactions work (`peer.store.database`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, assert_never

import apsw
import blake3

from peer.ports import StoreBroken
from peer.store.database import Database
from protocol import limits
from protocol.errors import Malformed
from protocol.ids import AuthorId, JobId
from protocol.ledger.facts import Fact
from protocol.ledger.rows import body_from_row, body_to_row
from protocol.records import DropValue, ForgetJob, PutFact, PutValue, Record

SUM_BYTES: Final = 8
BAD_ROWS_NAMED_MAX: Final = 10
PAGE: Final = 1000  # facts of a piece


class SqliteJournal:
    """Satisfies `peer.ports.Journal`. Invariants: the records of one call are on the disk together or not at all; a fact
    once stored never changes; a row whose checksum is wrong is never handed out, and ends this store's promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def commit(self, records: Sequence[Record]) -> None:
        """Write all of `records` atomically; returns after the fsync, which callers in flight share.

        Raises `StoreFull` (nothing stored, try again later), `StoreBroken` (for ever), and `Malformed` or `ValueError`
        for a record that could not be read back: that refuses this call alone."""
        if records:
            await self._database.run(lambda connection: _write(connection, records))

    async def facts(self) -> list[Fact]:
        """Every stored fact, ordered by job, author, sequence.

        Raises `StoreBroken`, naming the rows, when any is damaged: a fact that was acknowledged is gone, so this store
        must not go on as if it knew everything. It refuses commits from then on."""
        facts, bad = await self._database.run(_read_facts)
        self._refuse_damage(bad)
        return facts

    async def recalled(self) -> Collection[Fact]:
        """`facts` for a start. More than `limits.FACTS_RECALLED_AT_ONCE` are read piece by piece while somebody iterates, which
        blocks, and raises `StoreBroken` like `facts`."""
        count = await self._database.run(_count_facts)
        return tuple(await self.facts()) if count <= limits.FACTS_RECALLED_AT_ONCE else StoredFacts(self, count)

    def page(self, after: Fact | None) -> list[Fact]:
        """The next stored facts in their order; blocks. Raises `StoreBroken` like `facts`."""
        facts, bad = self._database.run_now(lambda connection: _read_page(connection, after))
        self._refuse_damage(bad)
        return facts

    def refuse_missing(self, count: int) -> None:
        """So many stored facts were not found in their order: their keys are damaged. Raises `StoreBroken`, naming the rows."""
        self._refuse_damage(self._database.run_now(damaged_rows) or [f"{count:,} facts that their keys do not lead to"])

    async def values(self) -> Mapping[str, bytes]:
        """Every stored value by key. Raises `StoreBroken` like `facts`."""
        values, bad = await self._database.run(_read_values)
        self._refuse_damage(bad)
        return values

    def _refuse_damage(self, bad: list[str]) -> None:
        if not bad:
            return
        named = "; ".join(bad[:BAD_ROWS_NAMED_MAX]) + ("; ..." if len(bad) > BAD_ROWS_NAMED_MAX else "")
        text = (
            f"{len(bad):,} damaged rows in the journal: {named}. "
            f"Move the data folder {self._database.folder} away and start with an empty one; "
            "the other peers hold copies of its jobs"
        )
        self._database.retire(text)
        raise StoreBroken(text)


class StoredFacts(Collection[Fact]):
    """The facts of a journal, in memory some at a time. Nobody writes meanwhile.

    They are sought by their keys, which a damaged key may lead astray: as many must be found as there are."""

    def __init__(self, journal: SqliteJournal, count: int) -> None:
        self._journal = journal
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Fact]:
        page, missing = self._journal.page(None), self._count
        while page:
            yield from page
            missing -= len(page)
            page = self._journal.page(page[-1])
        if missing > 0:
            self._journal.refuse_missing(missing)

    def __contains__(self, fact: object) -> bool:
        return any(fact == one for one in self)


def damaged_rows(connection: apsw.Connection) -> list[str]:
    """Every row that is not believed, by name."""
    found: list[str] = []
    for row in connection.execute("SELECT * FROM facts ORDER BY job, author, seq"):
        fact = _read_fact(row)
        found.extend([fact] if isinstance(fact, str) else [])
    return [*found, *_read_values(connection)[1]]


def _write(connection: apsw.Connection, records: Sequence[Record]) -> None:
    for run in _runs(records):
        first = run[0]
        if isinstance(first, PutFact):
            facts = (_fact_row(record.fact) for record in run if isinstance(record, PutFact))
            connection.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?, ?, ?, ?)", facts)
        else:
            _write_one(connection, first)


def _runs(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Neighbouring facts together (one prepared statement for all), everything else alone, in the order given."""
    start = 0
    for at in range(1, len(records) + 1):
        together = at < len(records) and isinstance(records[at], PutFact) and isinstance(records[at - 1], PutFact)
        if not together:
            yield records[start:at]
            start = at


def _write_one(connection: apsw.Connection, record: Record) -> None:
    match record:
        case PutFact(fact):
            connection.execute("INSERT OR IGNORE INTO facts VALUES (?, ?, ?, ?, ?)", _fact_row(fact))
        case PutValue(key, value):
            check_value(key, value)
            connection.execute("INSERT OR REPLACE INTO kv VALUES (?, ?, ?)", (key, value, _sum(key.encode(), value)))
        case DropValue(key):
            connection.execute("DELETE FROM kv WHERE key = ?", (key,))
        case ForgetJob(job):
            connection.execute("DELETE FROM facts WHERE job = ?", (bytes.fromhex(job),))
        case _:
            assert_never(record)


def check_value(key: str, value: bytes) -> None:
    """Raise `ValueError` for a key or value beyond the limits."""
    if not 0 < len(key) <= limits.VALUE_KEY_CHARS_MAX:
        raise ValueError(f"a value's key has from 1 to {limits.VALUE_KEY_CHARS_MAX} characters: {key[:40]!r}")
    if len(value) > limits.VALUE_BYTES_MAX:
        raise ValueError(f"the value {key!r} has {len(value):,} bytes; at most {limits.VALUE_BYTES_MAX:,}")


def check_fact(fact: Fact) -> bytes:
    """The body's row. Raises `Malformed` when the fact's identity or body could not be read back."""
    row = body_to_row(fact.body)
    if len(fact.job) != 32 or len(fact.author) != 16 or not 1 <= fact.seq < 2**63:
        raise Malformed(f"no such fact can be stored: job {fact.job[:40]!r}, author {fact.author[:40]!r}, sequence {fact.seq}")
    return row


def _fact_row(fact: Fact) -> tuple[bytes, bytes, int, bytes, bytes]:
    body = check_fact(fact)
    job, author = bytes.fromhex(fact.job), bytes.fromhex(fact.author)
    return job, author, fact.seq, body, _fact_sum(job, author, fact.seq, body)


def _fact_sum(job: bytes, author: bytes, seq: int, body: bytes) -> bytes:
    return _sum(job + author + seq.to_bytes(8, "big"), body)


def _sum(name: bytes, content: bytes) -> bytes:
    """Guards against disks, not against people: a row that was moved, torn or flipped does not fit its sum."""
    return blake3.blake3(len(name).to_bytes(4, "big") + name + content).digest(length=SUM_BYTES)


def _count_facts(connection: apsw.Connection) -> int:
    return int(next(iter(connection.execute("SELECT count(*) FROM facts")))[0])


def _read_facts(connection: apsw.Connection) -> tuple[list[Fact], list[str]]:
    return _sorted_out(connection.execute("SELECT * FROM facts ORDER BY job, author, seq"))


def _read_page(connection: apsw.Connection, after: Fact | None) -> tuple[list[Fact], list[str]]:
    text = "SELECT * FROM facts WHERE (job, author, seq) > (?, ?, ?) ORDER BY job, author, seq LIMIT ?"
    start = (b"", b"", 0) if after is None else (bytes.fromhex(after.job), bytes.fromhex(after.author), after.seq)
    return _sorted_out(connection.execute(text, (*start, PAGE)))


def _sorted_out(rows: Iterable[tuple[Any, ...]]) -> tuple[list[Fact], list[str]]:
    """The facts of these rows, and the names of those that are not believed."""
    read = [_read_fact(row) for row in rows]
    return [one for one in read if isinstance(one, Fact)], [one for one in read if isinstance(one, str)]


def _read_fact(row: tuple[Any, ...]) -> Fact | str:
    """The fact of a row, or the name of one that is not believed."""
    job, author, seq, body, checksum = row
    try:
        if _fact_sum(job, author, seq, body) != checksum:
            raise Malformed("checksum")
        return Fact(JobId(job.hex()), AuthorId(author.hex()), seq, body_from_row(body))
    except (Malformed, AttributeError, TypeError, OverflowError) as fault:
        return f"fact {_shown(job)}/{_shown(author)}/{seq} ({fault})"


def _read_values(connection: apsw.Connection) -> tuple[dict[str, bytes], list[str]]:
    values: dict[str, bytes] = {}
    bad: list[str] = []
    # As bytes, for a flipped bit may leave a key that is no text, and SQLite keeps it all the same.
    rows = connection.execute("SELECT typeof(key), CAST(key AS BLOB), value, sum FROM kv ORDER BY key")
    for kind, raw, value, checksum in rows:
        key = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else repr(raw)
        if kind != "text" or not isinstance(value, bytes) or key.encode() != raw or _sum(raw, value) != checksum:
            bad.append(f"value {key[:80]!r} (checksum)")
        else:
            values[key] = value
    return values, bad


def _shown(part: object) -> str:
    return part.hex() if isinstance(part, bytes) else repr(part)[:40]
