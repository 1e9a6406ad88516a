from pathlib import Path

import pytest

from peer.ports import StoreFull
from peer.web.smallfiles import SmallFiles
from protocol import limits
from protocol.jobs.manifest import ManifestEntry
from tests.fakes.memory_store import MemoryBlobs, digest_of


class Counting(MemoryBlobs):
    """Counts how many files come at a time."""

    def __init__(self, folder: Path, **more: int) -> None:
        super().__init__(folder, **more)
        self.taken: list[int] = []

    async def take_many(self, contents):
        self.taken.append(len(contents))
        return await super().take_many(contents)


async def test_files_are_taken_in_bundles_of_a_limited_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "SMALL_FILES_MAX", 3)
    blobs, entries = Counting(tmp_path), list[ManifestEntry]()
    small = SmallFiles(blobs, entries)
    for number in range(7):
        await small.add(f"{number}.png", b"%d" % number)
    assert (blobs.taken, len(small)) == ([3, 3], 1)
    await small.settle()
    await small.settle()
    assert (blobs.taken, len(small)) == ([3, 3, 1], 0)
    assert entries == [ManifestEntry(f"{number}.png", digest_of(b"%d" % number), 1) for number in range(7)]


async def test_the_bytes_in_memory_are_limited_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "SMALL_FILES_BYTES_MAX", 100)
    blobs = Counting(tmp_path)
    small = SmallFiles(blobs, [])
    for number in range(4):
        await small.add(str(number), bytes(60))
    assert blobs.taken == [2, 2]


async def test_a_full_store_is_passed_on(tmp_path: Path):
    small = SmallFiles(Counting(tmp_path, bytes_max=3), [])
    await small.add("a", b"1234")
    with pytest.raises(StoreFull):
        await small.settle()
