"""Shared commits, and what a failing disk does to them."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from peer.ports import StoreBroken, StoreFull
from peer.store.database import Database
from peer.store.errors import FolderUnwritable, StoreUnusable
from protocol import limits
from tests.peer.store.disks import FailingDisk, fill


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "journal.db")
    yield opened
    opened.close()


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    made = FailingDisk()
    yield made
    made.unregister()
    gc.collect()


def put(number: int, size: int = 10):
    def work(connection: apsw.Connection) -> int:
        connection.execute("INSERT INTO kv VALUES (?, zeroblob(?), x'')", (str(number), size))
        return number

    return work


def keys(connection: apsw.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT key FROM kv ORDER BY key")]


async def test_work_returns_its_value_and_the_file_is_private(database: Database, tmp_path: Path):
    assert await database.run(put(7)) == 7
    assert (tmp_path / "journal.db").stat().st_mode & 0o077 == 0
    assert not (tmp_path / "journal.db-shm").exists()


async def test_the_pragmas_that_durability_rests_on(database: Database):
    async def pragma(name: str) -> object:
        return await database.run(lambda connection: connection.pragma(name))

    assert await pragma("journal_mode") == "wal"
    assert await pragma("synchronous") == 2
    assert await pragma("locking_mode") == "exclusive"


async def test_callers_in_flight_share_a_commit(tmp_path: Path, disk: FailingDisk):
    database = Database(tmp_path / "journal.db", vfs=disk.name)
    await database.run(put(-1))  # the first commit also writes the log's header
    entered, go_on = threading.Event(), threading.Event()

    def hold(connection: apsw.Connection) -> None:
        entered.set()
        assert go_on.wait(10)

    holding = asyncio.create_task(database.run(hold))
    await asyncio.to_thread(entered.wait, 10)
    waiting = [asyncio.create_task(database.run(put(number))) for number in range(50)]
    await asyncio.sleep(0)  # let them all ask
    before = disk.syncs
    go_on.set()
    await asyncio.gather(holding, *waiting)
    assert disk.syncs - before <= 2
    await asyncio.to_thread(database.close)


async def test_a_mistake_undoes_its_own_work_alone(database: Database):
    def mistaken(connection: apsw.Connection) -> None:
        put(2)(connection)
        raise ValueError("our own")

    results = await asyncio.gather(database.run(put(1)), database.run(mistaken), database.run(put(3)), return_exceptions=True)
    assert isinstance(results[1], ValueError)
    assert await database.run(keys) == ["1", "3"]


async def test_a_cancelled_caller_hears_of_it_after_its_work_is_settled(database: Database):
    entered, go_on = threading.Event(), threading.Event()

    def hold(connection: apsw.Connection) -> None:
        entered.set()
        assert go_on.wait(10)
        put(1)(connection)

    holding = asyncio.create_task(database.run(hold))
    await asyncio.to_thread(entered.wait, 10)
    holding.cancel()
    await asyncio.sleep(0)
    assert not holding.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert await database.run(keys) == ["1"]


@pytest.mark.parametrize("method", ["xSync", "xWrite"])
async def test_a_disk_error_is_broken_for_ever(tmp_path: Path, disk: FailingDisk, method: str):
    database = Database(tmp_path / "journal.db", vfs=disk.name)
    await database.run(put(1))
    disk.failing.add(method)
    with pytest.raises(StoreBroken, match="acknowledges nothing more"):
        await database.run(put(2))
    disk.failing.clear()
    with pytest.raises(StoreBroken):
        await database.run(put(3))
    database.close()
    again = Database(tmp_path / "journal.db")
    assert "1" in await again.run(keys)
    assert "3" not in await again.run(keys)
    again.close()


async def test_a_failing_checkpoint_is_broken_too(tmp_path: Path, disk: FailingDisk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "WAL_PAGES_MAX", 0)
    database = Database(tmp_path / "journal.db", vfs=disk.name)

    def arm(_connection: apsw.Connection, _name: str, pages: int) -> int:
        disk.failing.add("xSync")  # after this commit's own fsync, before the checkpoint's
        return database._count_pages(_connection, _name, pages)

    await database.run(lambda connection: connection.set_wal_hook(arm))
    await database.run(put(1))
    with pytest.raises(StoreBroken):
        await database.run(put(2))
    disk.failing.clear()
    database.close()
    again = Database(tmp_path / "journal.db")
    assert await again.run(keys) == ["1"]
    again.close()


async def test_a_full_disk_acknowledges_nothing_and_recovers(small_disk: Path):
    database = Database(small_disk / "journal.db")
    await database.run(put(1))
    eater = fill(small_disk)
    with pytest.raises(StoreFull):
        await database.run(put(2, 2**20))
    assert await database.run(keys) == ["1"]
    eater.unlink()
    await database.run(put(3, 2**20))
    assert await database.run(keys) == ["1", "3"]
    database.close()


async def test_what_still_fits_is_stored_beside_what_does_not(small_disk: Path):
    database = Database(small_disk / "journal.db")
    await database.run(put(0))
    fill(small_disk, leave_bytes=512 * 1024)
    results = await asyncio.gather(
        database.run(put(1)), database.run(put(2, 4 * 2**20)), database.run(put(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [int, StoreFull, int]
    assert await database.run(keys) == ["0", "1", "3"]
    database.close()


async def test_the_log_is_folded_into_the_file_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "WAL_PAGES_MAX", 50)
    database = Database(tmp_path / "journal.db")
    for number in range(40):
        await database.run(put(number, 40_960))
    assert (tmp_path / "journal.db-wal").stat().st_size < 100 * 4096
    database.close()


async def test_closing_finishes_what_was_asked_and_refuses_more(tmp_path: Path):
    database = Database(tmp_path / "journal.db")
    asked = [asyncio.create_task(database.run(put(number))) for number in range(20)]
    await asyncio.sleep(0)
    await asyncio.to_thread(database.close)
    database.close()
    assert await asyncio.gather(*asked) == list(range(20))
    with pytest.raises(StoreBroken, match="closed"):
        await database.run(put(99))


def test_a_file_that_is_no_database_is_broken(tmp_path: Path):
    (tmp_path / "journal.db").write_bytes(b"not SQLite at all" * 1000)
    with pytest.raises(StoreBroken, match=r"journal\.db"):
        Database(tmp_path / "journal.db")


def test_a_folder_in_the_files_place_is_unwritable(tmp_path: Path):
    (tmp_path / "journal.db").mkdir()
    with pytest.raises((FolderUnwritable, StoreUnusable)):
        Database(tmp_path / "journal.db")


async def test_another_program_that_has_it_open_is_named(database: Database, tmp_path: Path):
    await database.run(put(1))
    with pytest.raises(StoreUnusable, match="open"):
        Database(tmp_path / "journal.db")
