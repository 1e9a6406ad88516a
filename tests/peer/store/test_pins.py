"""Pins are rows of the journal's database; what they protect is tested with the blobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from peer.ports import StoreFull
from peer.store.database import Database
from peer.store.folder import open_store
from peer.store.pins import PAGE, Pins
from protocol.ids import Digest
from tests.contract.blobs_suite import digest_of
from tests.peer.store.disks import fill
from tests.peer.store.test_blobs import NO_RESERVE

A, B, C = digest_of(b"a"), digest_of(b"b"), digest_of(b"c")


async def test_pins_are_there_after_a_restart(tmp_path: Path):
    database = Database(tmp_path / "journal.db")
    pins = Pins(database)
    await pins.add("one", [A, B, A])
    await pins.add("two", [B])
    await pins.add("gone", [A])
    await pins.drop("gone")
    database.close()
    database = Database(tmp_path / "journal.db")
    pins = Pins(database)
    assert await pins.among([A, B, C]) == {A, B}
    assert await pins.drop("one") == (False, [A]), "the other one is pinned by somebody else"
    assert await pins.among([A, B, C]) == {B}
    database.close()


async def test_a_pin_that_could_not_be_stored_does_not_count(small_disk: Path):
    store = open_store(small_disk, NO_RESERVE)
    await store.blobs.pin("old", [A])
    eater = fill(small_disk)
    many = [digest_of(bytes([number % 256, number // 256])) for number in range(30_000)]
    with pytest.raises(StoreFull):
        await store.blobs.pin("new", many)
    eater.unlink()
    await store.close()
    store = open_store(small_disk, NO_RESERVE)
    assert await Pins(store._database).among([A, *many]) == {A}
    await store.close()


async def test_many_pins_are_dropped_some_at_a_time(tmp_path: Path):
    database = Database(tmp_path / "journal.db")
    pins = Pins(database)
    many = [digest_of(number.to_bytes(2, "big")) for number in range(PAGE + 10)]
    await pins.add("job", many)
    first, free = await pins.drop("job")
    assert first
    assert (len(free), await pins.among(many)) == (PAGE, set(many) - set(free))
    assert await pins.drop("job") == (False, sorted(set(many) - set(free)))
    assert await pins.drop("job") == (False, [])
    database.close()


async def test_pins_are_found_by_shard(tmp_path: Path):
    database = Database(tmp_path / "journal.db")
    pins = Pins(database)
    first, last, beyond = Digest("07" + "0" * 62), Digest("07" + "f" * 62), Digest("08" + "0" * 62)
    await pins.add("one", [first, last, beyond])
    await pins.add("two", [first])
    assert pins.load_shards(7, 7) == {first, last} == await pins.in_shards(7, 7)
    assert pins.load_shards(7, 8) == {first, last, beyond}
    assert pins.load_shards(9, 255) == set()
    database.close()
