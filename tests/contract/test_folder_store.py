"""The real store keeps the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from peer.ports import Blobs, Journal
from peer.store.folder import Store, open_store
from tests.contract.blobs_suite import BlobsSuite
from tests.contract.journal_suite import JournalSuite


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(tmp_path / "data")
    yield opened
    await opened.close()


class TestSqliteJournal(JournalSuite):
    @pytest.fixture
    def journal(self, store: Store) -> Journal:
        return store.journal


class TestFolderBlobs(BlobsSuite):
    @pytest.fixture
    def blobs(self, store: Store) -> Blobs:
        return store.blobs
