"""Numbers that only grow, followers that are cut when they are too slow, an end for everybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from peer.eventlog import ID_BITS, EventLog
from protocol import limits
from protocol.effects import Notice
from protocol.ids import JobId
from protocol.views import EventRow
from tests.waiting import wait_until

ONE, OTHER = JobId("11" * 16), JobId("22" * 16)


async def kept(log: EventLog, *, after: int | None = None, job: JobId | None = None) -> list[EventRow]:
    return [row async for row in log.read(after=after, job=job, follow=False)]


def follower(log: EventLog, rows: list[EventRow], *, after: int | None = None, job: JobId | None = None) -> asyncio.Task[None]:
    async def follow() -> None:
        async for row in log.read(after=after, job=job, follow=True):
            rows.append(row)

    return asyncio.create_task(follow())


async def test_ids_grow_by_one_and_are_higher_in_every_later_run():
    first, later = EventLog(4), EventLog(5)
    ids = [first.add(Notice("seen"), 0).id for _ in range(3)]
    assert ids == [(4 << ID_BITS) + 1, (4 << ID_BITS) + 2, (4 << ID_BITS) + 3]
    assert later.add(Notice("seen"), 0).id > ids[-1]


async def test_a_row_says_what_was_noticed():
    row = EventLog(1).add(Notice("frame_failed", "warning", ONE, {"frame": 3}), 1_700)
    assert (row.event, row.level, row.job, row.fields, row.wall_ms) == ("frame_failed", "warning", ONE, {"frame": 3}, 1_700)


async def test_reading_resumes_after_an_id_and_an_id_of_an_earlier_run_begins_anew():
    earlier = EventLog(1).add(Notice("seen"), 0)
    log = EventLog(2)
    rows = [log.add(Notice(name), 0) for name in ("a", "b", "c")]
    assert await kept(log) == rows
    assert await kept(log, after=rows[0].id) == rows[1:]
    assert await kept(log, after=earlier.id) == rows
    assert await kept(log, after=rows[-1].id) == []


async def test_only_the_last_rows_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "EVENTS_KEPT", 3)
    log = EventLog(1)
    rows = [log.add(Notice("seen"), number) for number in range(10)]
    assert await kept(log) == rows[-3:]


async def test_a_follower_gets_what_was_kept_and_then_what_comes_of_its_job_alone():
    log = EventLog(1)
    log.add(Notice("old", job=ONE), 0)
    log.add(Notice("old", job=OTHER), 0)
    seen: list[EventRow] = []
    following = follower(log, seen, job=ONE)
    await wait_until(lambda: len(seen) == 1)
    log.add(Notice("new", job=OTHER), 0)
    log.add(Notice("new", job=ONE), 0)
    await wait_until(lambda: len(seen) == 2)
    assert [(row.event, row.job) for row in seen] == [("old", ONE), ("new", ONE)]
    log.close()
    await following


async def test_a_follower_that_is_too_slow_is_cut_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "EVENTS_KEPT", 5)
    log = EventLog(1)
    slow = log.read(after=None, job=None, follow=True)
    log.add(Notice("first"), 0)
    assert (await anext(slow)).event == "first"
    for _ in range(6):
        log.add(Notice("more"), 0)
    seen: list[EventRow] = []
    quick = follower(log, seen)
    await wait_until(lambda: len(seen) == 5)
    assert len([row async for row in slow]) == 4  # the oldest gave way to the end
    log.add(Notice("last"), 0)
    await wait_until(lambda: len(seen) == 6)
    log.close()
    await quick


async def test_closing_ends_every_follower_and_whoever_comes_later():
    log = EventLog(1)
    row = log.add(Notice("seen"), 0)
    seen: list[EventRow] = []
    following = [follower(log, seen) for _ in range(3)]
    await wait_until(lambda: len(seen) == 3)
    log.close()
    await asyncio.gather(*following)
    await follower(log, seen)
    assert seen == [row] * 4


async def test_a_reader_that_goes_away_is_forgotten():
    log = EventLog(1)
    log.add(Notice("seen"), 0)
    reader = log.read(after=None, job=None, follow=True)
    assert isinstance(reader, AsyncGenerator)
    await anext(reader)
    await reader.aclose()
    assert log._followers == []
