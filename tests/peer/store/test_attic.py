"""The attic on the disk: pieces come back, room is used again, and no disk fails whoever lends to it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from peer.ports import StoreBroken
from peer.store.attic import BLOCK, FileAttic
from peer.store.folder import Store
from tests.peer.store.disks import fill


def piece(number: int, size: int) -> bytes:
    return random.Random(number).randbytes(size)


@pytest.fixture
def attic(tmp_path: Path):
    opened = FileAttic(tmp_path, reserve_bytes=0)
    yield opened
    opened.close()


def test_pieces_come_back_before_and_after_they_are_written(attic: FileAttic, tmp_path: Path):
    sizes = (0, 1, BLOCK - 4, BLOCK - 3, 100_000)
    places = [attic.put(piece(size, size)) for size in sizes]
    assert [attic.get(place) for place in places] == [piece(size, size) for size in sizes]
    attic.settle()
    assert attic.memory_bytes == 0
    assert [attic.get(place) for place in places] == [piece(size, size) for size in sizes]
    assert list(tmp_path.iterdir()) == [], "the file has no name"


def test_room_that_is_free_is_used_again(attic: FileAttic):
    places = [attic.put(piece(number, 10_000)) for number in range(20)]
    attic.settle()
    length = attic.file_bytes
    for place in places[::2]:
        attic.drop(place)
    more = [attic.put(piece(100 + number, 10_001)) for number in range(10)]
    attic.settle()
    assert attic.file_bytes == length
    assert [attic.get(place) for place in more] == [piece(100 + number, 10_001) for number in range(10)]
    assert [attic.get(place) for place in places[1::2]] == [piece(number, 10_000) for number in range(1, 20, 2)]


def test_what_a_full_disk_does_not_take_stays_in_memory(small_disk: Path):
    attic = FileAttic(small_disk, reserve_bytes=0)
    first = attic.put(piece(1, 50_000))
    attic.settle()
    eater = fill(small_disk)
    second = attic.put(piece(2, 50_000))
    attic.settle()
    assert attic.memory_bytes == 50_000
    eater.unlink()
    third = attic.put(piece(3, 50_000))
    attic.settle()
    assert [attic.get(place) for place in (first, second, third)] == [piece(number, 50_000) for number in (1, 2, 3)]
    assert attic.memory_bytes == 50_000
    attic.close()


def test_the_last_bytes_of_a_disk_are_left_alone(small_disk: Path):
    attic = FileAttic(small_disk, reserve_bytes=8 * 2**20)
    place = attic.put(piece(1, 50_000))
    attic.settle()
    assert attic.memory_bytes == 50_000
    assert attic.get(place) == piece(1, 50_000)
    attic.close()


def test_other_bytes_than_were_put_are_never_given_back(tmp_path: Path):
    told: list[str] = []
    attic = FileAttic(tmp_path, reserve_bytes=0, on_broken=told.append)
    place = attic.put(piece(1, 50_000))
    attic.settle()
    assert attic._file is not None
    os.pwrite(attic._file.fileno(), b"\0\0\0\0\0\0\0\0", 30_000)
    with pytest.raises(StoreBroken, match="gives back other bytes"):
        attic.get(place)
    os.ftruncate(attic._file.fileno(), 10)
    with pytest.raises(StoreBroken):
        attic.get(place)
    assert len(told) == 2
    attic.close()
    attic.close()


async def test_a_store_has_one_and_a_piece_that_is_damaged_retires_the_store(store: Store, data_dir: Path):
    place = store.attic.put(piece(1, 50_000))
    store.attic.settle()
    assert store.attic._file is not None
    os.ftruncate(store.attic._file.fileno(), 0)
    with pytest.raises(StoreBroken):
        store.attic.get(place)
    assert (data_dir / "retired").exists()
