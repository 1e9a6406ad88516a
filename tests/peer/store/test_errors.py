"""Whoever opens a store can catch one kind of error."""

from __future__ import annotations

import pytest

from peer.store.errors import FolderTaken, FolderUnwritable, StoreNewer, StoreUnusable


@pytest.mark.parametrize("fault", [FolderTaken("a", pid=1), FolderUnwritable("a"), StoreNewer("a", found=2, known=1)])
def test_each_reason_is_an_unusable_store_with_a_text(fault: StoreUnusable):
    assert isinstance(fault, StoreUnusable)
    assert str(fault) == "a"
