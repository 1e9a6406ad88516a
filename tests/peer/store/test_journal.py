"""What is particular to the journal on a disk; its promises as a Journal stand in tests/contract."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from peer.ports import StoreBroken
from peer.store import journal
from peer.store.folder import Store, open_store
from protocol import limits
from protocol.records import PutFact, PutValue
from tests.contract.journal_suite import job, owner_fact

LATER = 0xFEEDFACECAFE
BLOB_OF_16, BLOB_OF_8 = 44, 28  # as a row's head in the file names the kinds of a job and an author


async def fill(data_dir: Path) -> None:
    store = open_store(data_dir)
    await store.journal.commit(
        [PutFact(owner_fact(1, 1, epoch=77)), PutFact(owner_fact(LATER, 5, epoch=78)), PutValue("key", b"value!")]
    )
    await store.close()


async def test_everything_is_there_after_a_restart(data_dir: Path):
    await fill(data_dir)
    store = open_store(data_dir)
    assert await store.journal.facts() == [owner_fact(1, 1, epoch=77), owner_fact(LATER, 5, epoch=78)]
    assert dict(await store.journal.values()) == {"key": b"value!"}
    await store.close()


def flip(data_dir: Path, needle: bytes) -> None:
    """Flip one bit of `needle`'s last byte in the database file."""
    path = data_dir / "journal.db"
    data = bytearray(path.read_bytes())
    assert data.count(needle) == 1
    data[data.index(needle) + len(needle) - 1] ^= 0x04
    path.write_bytes(data)


@pytest.mark.parametrize("needle", [b"\x92\x03\x92\x4e\xc4\x20" + b"\xab" * 31, bytes.fromhex(job(LATER))])
async def test_a_flipped_bit_in_a_fact_is_found_and_named(data_dir: Path, needle: bytes):
    """In the body (the peer's id) and in the key (the job)."""
    await fill(data_dir)
    flip(data_dir, needle)
    store = open_store(data_dir)
    with pytest.raises(StoreBroken, match=r"1 damaged rows.*fact 0000.*/5 "):
        await store.journal.facts()
    with pytest.raises(StoreBroken):
        await store.journal.commit([PutValue("more", b"")])
    await store.close()


async def test_a_flipped_bit_in_a_value_is_found_and_named(data_dir: Path):
    await fill(data_dir)
    flip(data_dir, b"value!")
    store = open_store(data_dir)
    with pytest.raises(StoreBroken, match="value 'key'"):
        await store.journal.values()
    await store.close()


async def test_every_damaged_row_is_counted_and_a_few_are_named(store: Store):
    await store.journal.commit([PutFact(owner_fact(1, seq)) for seq in range(1, 101)])
    await store._database.run(lambda connection: _spoil(connection, "UPDATE facts SET body = x'00' WHERE seq > 50"))
    with pytest.raises(StoreBroken, match=r"50 damaged rows.*/51 .*/60 .*\.\.\.") as caught:
        await store.journal.facts()
    assert "/61 " not in str(caught.value)


async def test_a_row_whose_sum_fits_but_says_nothing_is_damaged_too(store: Store):
    """Another program wrote it: believed as little as a flipped bit."""
    from peer.store.journal import _fact_sum

    row = (bytes(16), bytes(8), 1, b"\x91\x63", _fact_sum(bytes(16), bytes(8), 1, b"\x91\x63"))
    await store._database.run(lambda connection: _spoil(connection, "INSERT INTO facts VALUES (?, ?, ?, ?, ?)", row))
    with pytest.raises(StoreBroken, match="unknown kind"):
        await store.journal.facts()


def _spoil(connection: apsw.Connection, statement: str, values: tuple[object, ...] = ()) -> None:
    connection.execute(statement, values)


async def test_many_facts_are_recalled_piece_by_piece_and_are_the_same(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    store = open_store(data_dir)
    held = [owner_fact(number, seq, author=author) for number in (1, 2) for author in ("00" * 8, "0f" * 8) for seq in (1, 2, 11)]
    await store.journal.commit([PutFact(fact) for fact in held])
    assert await store.journal.recalled() == tuple(held)
    monkeypatch.setattr(limits, "FACTS_RECALLED_AT_ONCE", 11)
    for page in (1, 5, 12, 100):
        monkeypatch.setattr(journal, "PAGE", page)
        recalled = await store.journal.recalled()
        assert isinstance(recalled, journal.StoredFacts)
        assert (list(recalled), list(recalled), len(recalled), held[3] in recalled) == (held, held, 12, True)
    await store.close()


async def test_a_fact_whose_key_is_damaged_is_missed_while_the_others_are_recalled(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    """One bit turns a job's bytes into text, which sorts before all bytes: no search finds the row, and some that follow it."""
    monkeypatch.setattr(limits, "FACTS_RECALLED_AT_ONCE", 3)
    monkeypatch.setattr(journal, "PAGE", 3)
    store = open_store(data_dir)
    await store.journal.commit([PutFact(owner_fact(number, 1)) for number in range(1, 8)])
    await store.close()
    path = data_dir / "journal.db"
    raw = bytearray(path.read_bytes())
    types = raw.rindex(bytes([BLOB_OF_16, BLOB_OF_8]), 0, raw.rindex(bytes.fromhex(job(4))))
    raw[types] ^= 1
    path.write_bytes(raw)
    store = open_store(data_dir)
    recalled = await store.journal.recalled()
    with pytest.raises(StoreBroken, match="1 damaged rows"):
        list(recalled)
    with pytest.raises(StoreBroken):
        await store.journal.commit([PutValue("more", b"")])
    await store.close()


async def test_a_damaged_fact_is_found_while_the_others_are_recalled(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    await fill(data_dir)
    flip(data_dir, bytes.fromhex(job(LATER)))
    store = open_store(data_dir)
    monkeypatch.setattr(limits, "FACTS_RECALLED_AT_ONCE", 0)
    recalled = await store.journal.recalled()
    with pytest.raises(StoreBroken, match="1 damaged rows"):
        list(recalled)
    with pytest.raises(StoreBroken):
        await store.journal.commit([PutValue("more", b"")])
    await store.close()
