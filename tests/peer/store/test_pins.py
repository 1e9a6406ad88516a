"""Pins are rows of the journal's database; what they protect is tested with the blobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from peer.ports import StoreFull
from peer.store.database import Database
from peer.store.folder import open_store
from peer.store.pins import Pins
from tests.contract.blobs_suite import digest_of
from tests.peer.store.disks import fill
from tests.peer.store.test_blobs import NO_RESERVE

A, B = digest_of(b"a"), digest_of(b"b")


async def test_pins_are_there_after_a_restart(tmp_path: Path):
    database = Database(tmp_path / "journal.db")
    pins = Pins(database)
    await pins.add("one", [A, B, A])
    await pins.add("two", [B])
    await pins.add("gone", [A])
    await pins.drop("gone")
    database.close()
    database = Database(tmp_path / "journal.db")
    assert Pins(database).load() == {"one": {A, B}, "two": {B}}
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
    assert Pins(store._database).load() == {"old": {A}}
    await store.close()
