"""After an fsync error nothing is acknowledged from the store until all of it was read back from the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from peer.ports import StoreBroken
from peer.store.folder import Store, open_store
from peer.store.retirement import MARK, forget_pages, reason_of
from protocol.ids import Digest
from protocol.records import PutFact, PutValue
from tests.contract.journal_suite import owner_fact
from tests.peer.store.disks import FailingDisk
from tests.peer.store.test_scrub import add, flip


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    disk = FailingDisk("retiring")
    yield disk
    disk.unregister()


async def broken(data_dir: Path, disk: FailingDisk) -> list[Digest]:
    """A store with two blobs and a fact whose next commit met a failing fsync."""
    store = open_store(data_dir, vfs=disk.name)
    digests = [await add(store, b"whole" * 100), await add(store, b"damaged" * 100)]
    await store.journal.commit([PutFact(owner_fact(1, 1)), PutValue("key", b"value!")])
    disk.failing.add("xSync")
    with pytest.raises(StoreBroken):
        await store.journal.commit([PutValue("more", b"")])
    disk.failing.clear()
    with pytest.raises(StoreBroken):  # never retried and acknowledged, although the disk would do it now
        await store.journal.commit([PutValue("more", b"")])
    await store.close()
    return digests


async def test_a_retired_store_is_verified_and_serves_again_under_another_author(data_dir: Path, disk: FailingDisk):
    whole, damaged = await broken(data_dir, disk)
    assert reason_of(data_dir) is not None
    flip(data_dir, damaged)
    store = open_store(data_dir)
    assert reason_of(data_dir) is None
    assert [await store.blobs.has(digest) for digest in (whole, damaged)] == [True, False]
    assert await store.journal.facts() == [owner_fact(1, 1)]
    await store.journal.commit([PutValue("more", b"")])
    await store.close()


async def test_a_retired_store_with_a_damaged_row_stays_retired(data_dir: Path, disk: FailingDisk):
    await broken(data_dir, disk)
    path = data_dir / "journal.db"
    data = path.read_bytes()
    assert data.count(b"value!") == 1
    path.write_bytes(data.replace(b"value!", b"valuf!"))
    for _ in range(2):
        with pytest.raises(StoreBroken, match=r"1 damaged rows.*value 'key'.*move the data folder .*/data away"):
            open_store(data_dir)
    assert reason_of(data_dir) is not None


async def test_an_fsync_error_of_a_blob_retires_the_store_too(store: Store, data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(_handle: int) -> None:
        raise OSError(5, "Input/output error")

    writer = await store.blobs.writer()
    await writer.write(b"x" * 100)
    monkeypatch.setattr("peer.store.incoming.os.fsync", fails)
    with pytest.raises(StoreBroken):
        await writer.finish()
    monkeypatch.undo()
    with pytest.raises(StoreBroken):
        await store.journal.commit([PutValue("key", b"")])
    assert (data_dir / MARK).exists()


def test_a_store_that_never_failed_is_not_verified(data_dir: Path):
    assert reason_of(data_dir) is None
    forget_pages([data_dir / "nothing"])
