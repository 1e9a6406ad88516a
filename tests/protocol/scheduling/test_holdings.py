from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.errors import IllegalTransition
from protocol.ids import LeaseId, Ticket
from protocol.jobs.steps import FrameStep
from protocol.scheduling.holdings import Holdings, Landing, LeaseHeld
from tests.protocol.making import ANNA, BEN, attempt, done, lease, report, work

LEASE = LeaseId("1" * 16)


def held(*frames: int, name: LeaseId = LEASE) -> LeaseHeld:
    return LeaseHeld(name, ANNA, 1, None, {frame: attempt(frame) for frame in frames}, 0.0, 20.0)


def grant(book: Holdings, *frames: int) -> None:
    assert book.queue is not None
    positions = [at for frame in frames if (at := book.position(frame)) is not None]
    assert book.queue.take(len(positions), avoid=lambda at: at not in positions) == positions
    book.grant(held(*frames), positions)


def steps(book: Holdings) -> list[str]:
    return [FrameStep(step).name for step in book.steps]


def land(book: Holdings, frame: int) -> None:
    book.settle(frame, "report")
    book.landings[Ticket(f"land-{frame}")] = Landing(report(lease(frame), frame, done(frame)), ANNA)


def test_frames_are_granted_and_given_back():
    book = Holdings.open(work("1-4"))
    grant(book, 1, 2)
    assert (book.pending, book.running, book.runs_on(1), book.runs_on(3)) == (2, 2, ANNA, None)
    assert book.give_back_lease(LEASE) == 2
    assert (book.pending, book.running, book.leases) == (4, 0, {})


def test_a_lease_ends_with_its_last_frame():
    book = Holdings.open(work("1-2"))
    grant(book, 1, 2)
    book.settle(1, "commit")
    assert list(book.leases[LEASE].frames) == [2]
    book.settle(2, "give_up")
    assert book.leases == {}
    assert steps(book) == ["DONE", "FAILED"]


def test_an_illegal_move_tells_the_frames_story():
    book = Holdings.open(work("1-2"))
    grant(book, 1)
    book.settle(1, "commit")
    with pytest.raises(IllegalTransition, match=r"1 PENDING-grant->LEASED \| 1 LEASED-commit->DONE"):
        book.settle(1, "report")


def test_a_lease_from_before_a_restart_keeps_what_nobody_else_has():
    book = Holdings.open(work("1-4", steps=b"\x03\x00\x00\x00"))
    grant(book, 2)
    assert book.adopt(held(1, 2, 3, name=LeaseId("2" * 16))) == [1, 2]
    assert book.runs_on(3) == ANNA
    assert book.pending == 1


def test_a_restated_job_makes_frames_wanted_again():
    book = Holdings.open(work("1-2", steps=b"\x03\x04"))
    book.restate(work("1-2", steps=b"\x00\x00", generations=((1, 1), (2, 1))))
    assert (steps(book), book.pending, book.generation(1)) == (["PENDING", "PENDING"], 2, 1)


def test_a_restated_job_leaves_leases_and_landings_alone():
    book = Holdings.open(work("1-3"))
    grant(book, 1, 2)
    land(book, 2)
    book.restate(work("1-3", priority=99))
    assert steps(book) == ["LEASED", "LANDING", "PENDING"]


def test_what_another_owner_has_committed_is_not_rendered_again():
    book = Holdings.open(work("1-4"))
    grant(book, 1, 2)
    land(book, 2)
    book.restate(work("1-4", steps=b"\x03\x03\x03\x04"))
    assert steps(book) == ["DONE", "DONE", "DONE", "FAILED"]
    assert (book.pending, book.running, book.leases, book.landings) == (0, 0, {}, {})


def test_a_result_of_a_generation_that_was_not_heard_of_is_committed_and_comes_again_as_a_duplicate():
    book = Holdings.open(work("1-2", steps=b"\x03\x00"))
    again = [report(replace(lease(frame), generations=(1,)), frame, done(frame)) for frame in (1, 2)]
    assert [book.is_early(one) for one in again] == [True, False], "whoever has frame 1 done does not know why it came again"
    book.commit(again[1])
    assert (book.generation(2), book.is_early(again[1])) == (1, False)
    book.restate(work("1-2", generations=((1, 1), (2, 1)), steps=b"\x00\x03"))
    assert not any(book.is_early(one) for one in again)


def test_failures_are_told_apart_by_their_attempts():
    book = Holdings.open(work("1-2", failures=((1, ((ANNA, attempt(3)), (BEN, attempt(4)))),)))
    assert book.failed_on(1) == [ANNA, BEN]
    assert book.has_failed(1, attempt(3))
    assert not book.has_failed(1, attempt(5))
    assert book.failed_on(2) == []


def test_an_inspection_is_one_piece_of_work_for_one_peer():
    book = Holdings.open(work(None))
    assert book.waiting == 1
    book.grant(replace(held(), inspect=attempt(1)), [])
    assert (book.waiting, book.wants_inspection) == (0, False)
    assert book.give_back_lease(LEASE) == 1
    assert book.waiting == 1


def test_a_paused_job_has_nothing_to_hand_out():
    assert Holdings.open(work("1-4", open_=False)).waiting == 0
