from __future__ import annotations

import pytest

from protocol import limits
from protocol.ids import JobId
from protocol.ledger.tombstones import TOMBSTONE, Tombstones
from protocol.records import DropValue, PutValue

A, B, C = JobId("a" * 32), JobId("b" * 32), JobId("c" * 32)


def test_what_was_buried_is_known_after_a_start():
    first = Tombstones()
    records = first.bury(A)
    assert records == (PutValue(TOMBSTONE + A, b"deleted"),)
    again = Tombstones()
    again.load([TOMBSTONE + A, "something/else"])
    assert A in again
    assert B not in again


def test_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "TOMBSTONES_MAX", 2)
    stones = Tombstones()
    stones.load([TOMBSTONE + A, TOMBSTONE + B])
    assert stones.bury(C)[1:] == (DropValue(TOMBSTONE + A),)
    assert [job in stones for job in (A, B, C)] == [False, True, True]
