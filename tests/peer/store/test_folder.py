"""Opening: layout, lock, what a crash left, and the ways in which a folder cannot be used."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from peer.ports import StoreBroken
from peer.store.errors import FolderTaken, FolderUnwritable, StoreNewer, StoreUnusable
from peer.store.folder import open_store
from peer.store.migrations import VERSION
from tests.contract.blobs_suite import digest_of, got, put
from tests.peer.store.disks import FailingDisk, fill

NOBODY = 65534


async def test_a_new_folder_is_private_and_complete(tmp_path: Path):
    data_dir = tmp_path / "deep" / "data"
    store = open_store(data_dir)
    assert {path.name for path in data_dir.iterdir()} >= {"lock", "journal.db", "blobs", "trees", "tmp", "work"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in [data_dir, *data_dir.iterdir()])
    assert store.work_dir == data_dir / "work"
    await store.close()
    await store.close()


async def test_an_existing_folder_keeps_its_mode(tmp_path: Path):
    tmp_path.chmod(0o750)
    store = open_store(tmp_path)
    await store.close()
    assert tmp_path.stat().st_mode & 0o777 == 0o750


async def test_each_start_draws_an_author_and_counts_the_epoch(data_dir: Path):
    seen = []
    for _ in range(3):
        store = open_store(data_dir)
        seen.append((store.run_epoch, store.author_id))
        await store.close()
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert len({author for _, author in seen}) == 3
    assert all(len(author) == 16 for _, author in seen)


def test_a_taken_folder_names_who_has_it_and_is_free_after_a_kill(data_dir: Path):
    program = (
        "import sys, time; from pathlib import Path; from peer.store.folder import open_store\n"
        f"store = open_store(Path({str(data_dir)!r})); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(FolderTaken, match=f"in use by process {child.pid}; stop it") as caught:
            open_store(data_dir)
        assert caught.value.pid == child.pid
        child.send_signal(signal.SIGKILL)
    store = open_store(data_dir)
    assert store.run_epoch == 2
    asyncio.run(store.close())


async def test_a_failed_opening_lets_go_of_the_folder(data_dir: Path):
    store = open_store(data_dir)
    await store.close()
    (data_dir / "journal.db").rename(data_dir / "aside")
    (data_dir / "journal.db").mkdir()
    with pytest.raises(StoreUnusable):
        open_store(data_dir)
    (data_dir / "journal.db").rmdir()
    (data_dir / "aside").rename(data_dir / "journal.db")
    store = open_store(data_dir)
    assert store.run_epoch == 2
    await store.close()


def test_a_file_in_the_folders_place(tmp_path: Path):
    (tmp_path / "data").write_text("I was here first")
    for place in (tmp_path / "data", tmp_path / "data" / "below"):
        with pytest.raises(FolderUnwritable, match="cannot be used"):
            open_store(place)
    assert (tmp_path / "data").read_text() == "I was here first"


def test_a_folder_without_the_right_to_write(tmp_path: Path):
    """Root may write anywhere, so a child becomes nobody first."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o555)
    for parent in [tmp_path, *list(tmp_path.parents)[:2]]:
        if parent.stat().st_uid == os.geteuid() and parent.name.startswith(("pytest", tmp_path.name)):
            parent.chmod(0o755)
    program = (
        "import os, sys; from pathlib import Path\n"
        "from peer.store.errors import FolderUnwritable; from peer.store.folder import open_store\n"
        f"if os.geteuid() == 0: os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        f"try: open_store(Path({str(folder)!r}))\n"
        "except FolderUnwritable as fault: print(fault)\n"
        "else: print('opened')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "Permission denied" in done.stdout
    assert str(folder) in done.stdout


def test_a_read_only_disk(small_disk: Path):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(FolderUnwritable, match="Read-only"):
        open_store(small_disk / "data")


async def test_a_disk_that_is_full_at_the_start(small_disk: Path):
    store = open_store(small_disk)
    await store.close()
    eater = fill(small_disk)
    with pytest.raises(FolderUnwritable, match=r"space|full"):
        open_store(small_disk)
    eater.unlink()
    store = open_store(small_disk)
    assert store.run_epoch == 2
    await store.close()


async def test_a_newer_store_is_refused_with_both_versions(data_dir: Path):
    store = open_store(data_dir)
    await store.close()
    connection = apsw.Connection(str(data_dir / "journal.db"))
    connection.pragma("user_version", VERSION + 1)
    connection.close()
    with pytest.raises(StoreNewer, match=f"version {VERSION + 1}.*up to {VERSION}"):
        open_store(data_dir)


def test_a_damaged_database_says_what_to_do(data_dir: Path):
    data_dir.mkdir()
    (data_dir / "journal.db").write_bytes(b"\x00garbage" * 4096)
    with pytest.raises(StoreBroken, match="Move the data folder"):
        open_store(data_dir)


def test_a_disk_that_fails_at_the_start(data_dir: Path):
    disk = FailingDisk("failing at the start", failing={"xSync"})
    with pytest.raises(StoreBroken):
        open_store(data_dir, vfs=disk.name)
    disk.unregister()


async def test_a_start_clears_what_a_crash_left_but_not_partials(data_dir: Path):
    store = open_store(data_dir)
    held = await put(store.blobs, b"held")
    wanted = digest_of(b"wanted later")
    writer = await store.blobs.writer(wanted)
    await writer.write(b"wanted")
    await writer.abort(keep=True)
    path = await store.blobs.path(held)
    assert path is not None
    os.link(path, data_dir / "tmp" / f"partial-{held}")  # killed between link and unlink
    await store.close()
    (data_dir / "tmp" / "in-1").write_bytes(b"half")
    (data_dir / "tmp" / "tree-x").mkdir(mode=0o555)
    (data_dir / "trees" / "old").mkdir()
    (data_dir / "trees" / "old" / "scene.blend").write_bytes(b"")
    (data_dir / "trees" / "old").chmod(0o555)
    (data_dir / "work" / "attempt").mkdir()
    (data_dir / "work" / "attempt" / "frame.png").write_bytes(b"")

    store = open_store(data_dir)
    assert [path.name for path in (data_dir / "tmp").iterdir()] == [f"partial-{wanted}"]
    assert list((data_dir / "trees").iterdir()) == list((data_dir / "work").iterdir()) == []
    assert await got(store.blobs, held) == b"held"
    again = await store.blobs.writer(wanted)
    assert again.offset == 6
    await again.write(b" later")
    assert await again.finish() == (wanted, 12)
    await store.close()
