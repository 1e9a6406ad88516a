"""The fakes keep the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from peer.ports import Blobs, Journal, StoreFull
from protocol.records import PutValue
from tests.contract.blobs_suite import BlobsSuite
from tests.contract.journal_suite import JournalSuite
from tests.fakes.memory_store import MemoryBlobs, MemoryJournal


class TestMemoryJournal(JournalSuite):
    @pytest.fixture
    def journal(self) -> Journal:
        return MemoryJournal()


class TestMemoryBlobs(BlobsSuite):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Blobs:
        return MemoryBlobs(tmp_path / "fake")


async def test_a_fault_refuses_commits_while_it_is_set():
    journal = MemoryJournal()
    journal.fault = StoreFull("full")
    with pytest.raises(StoreFull):
        await journal.commit([PutValue("a", b"1")])
    journal.fault = None
    await journal.commit([PutValue("b", b"2")])
    assert dict(await journal.values()) == {"b": b"2"}
    assert journal.commits == 1


async def test_a_full_fake_refuses_at_once_and_while_writing(tmp_path: Path):
    blobs = MemoryBlobs(tmp_path, bytes_max=10)
    with pytest.raises(StoreFull):
        await blobs.writer(size=11)
    writer = await blobs.writer()
    await writer.write(b"0123456789")
    with pytest.raises(StoreFull):
        await writer.write(b"!")
