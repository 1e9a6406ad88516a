"""A worker keeps its renderers fed, and tells its owners what became of every frame."""

from __future__ import annotations

from random import Random
from typing import Any

from protocol import limits
from protocol.effects import FetchBlobs, Inspect, Notice, Persist, Render, StopTask, Verify
from protocol.events import (
    BlobsEnded,
    Booted,
    DrainAsked,
    FrameProgressed,
    FrameRendered,
    FrameVerified,
    GraceEnded,
    InspectEnded,
    StreamFailed,
    StreamReceived,
    UndrainAsked,
)
from protocol.ids import LeaseId, PeerId, TaskId
from protocol.jobs.results import FrameResult, Inspection
from protocol.records import DropValue, PutValue
from protocol.scheduling.thief import Thief
from protocol.signals import SlotsUsed, SummaryChanged
from protocol.wire.work import Granted, InspectReport, Lease, Nothing, Release, Renew, Report, Reported, Revoke, Steal, Wake
from tests.playbook import Playbook
from tests.protocol.making import ANNA, BEN, CRITICAL, JOB, ME, SCENE, card, changed, digest, done, failed, job_view, lease, sent

RENDERED = FrameResult((), None, 1.0)


def begin(slots: int = 1) -> Playbook:
    thief = Thief(me=ME, slots=slots, labels=(), run_epoch=1, random=Random(1))
    return Playbook(thief).feed(changed(ME), changed(ANNA), changed(BEN)).forget()


def woken(slots: int = 1) -> Playbook:
    return begin(slots).feed(StreamReceived(ANNA, Wake(JOB)))


def give(book: Playbook, *leases: Lease, owner: PeerId = ANNA) -> Playbook:
    """The owner answers the question that is under way."""
    asks = sent(book, Steal, owner)
    return book.feed(StreamReceived(owner, Granted(asks[-1].ask, leases)))


def finish(book: Playbook, task: TaskId, frame: int, seconds: float = 1.0) -> Playbook:
    book.feed(FrameRendered(task, FrameResult((), None, seconds)))
    book.expect(Verify, task=task)
    return book.feed(FrameVerified(task, done(frame, seconds=seconds)))


# asking


def test_a_woken_idle_peer_asks_at_once_and_once():
    book = woken(slots=2)
    (ask,) = sent(book, Steal, ANNA)
    assert ask.slots == 2
    book.feed(StreamReceived(ANNA, Wake(JOB)))
    assert sent(book, Steal) == []


def test_a_job_that_was_heard_of_is_asked_for_without_being_woken():
    book = begin().feed(SummaryChanged(JOB, job_view(owner=BEN)))
    assert sent(book, Steal, BEN)


def test_after_nothing_the_owner_is_asked_again_a_little_later():
    book = begin().feed(SummaryChanged(JOB, job_view()))
    (ask,) = sent(book, Steal, ANNA)
    book.feed(StreamReceived(ANNA, Nothing(ask.ask, None)))
    assert sent(book, Steal) == []
    book.wait(2 * limits.IDLE_ASK_S)
    assert len(sent(book, Steal, ANNA)) == 1


def test_a_question_that_was_lost_is_asked_again():
    book = begin().feed(SummaryChanged(JOB, job_view()))
    (ask,) = sent(book, Steal, ANNA)
    book.feed(StreamFailed(ANNA, ask, refused=True)).wait(2 * limits.IDLE_ASK_S)
    assert sent(book, Steal, ANNA)
    silent = begin().feed(SummaryChanged(JOB, job_view())).wait(limits.ASK_TIMEOUT_S + 1)
    assert len(sent(silent, Steal, ANNA)) == 2


def test_who_cannot_work_does_not_ask():
    for unfit in (card(capabilities=()), card(checks=(CRITICAL,))):
        book = begin().feed(changed(ME, with_card=unfit), StreamReceived(ANNA, Wake(JOB))).wait(5.0)
        assert sent(book, Steal) == []


def test_the_next_batch_is_asked_for_before_the_last_frame_ends():
    book = give(woken(), lease(1, 2))
    book.feed(SummaryChanged(JOB, job_view()))
    finish(book, book.expect(Render, frame=1).task, 1, seconds=4.0)
    assert sent(book, Steal) == []
    book.wait(3.7)
    assert sent(book, Steal) == []
    book.wait(0.2)
    assert len(sent(book, Steal, ANNA)) == 1


# rendering


def test_a_frame_is_rendered_verified_reported_and_over_when_it_is_acknowledged():
    book = give(woken(), lease(1))
    assert book.machine.free_slots == 0
    finish(book, book.expect(Render, frame=1).task, 1)
    (told,) = sent(book, Report, ANNA)
    assert (told.frame, told.result) == (1, done(1))
    assert not book.machine.is_idle
    book.feed(StreamReceived(ANNA, Reported(JOB, told.attempt)))
    assert book.machine.is_idle
    assert book.take(SlotsUsed)[-1].free == 1


def test_a_report_is_sent_again_until_it_is_acknowledged():
    book = give(woken(), lease(1))
    finish(book, book.expect(Render).task, 1).wait(limits.REPORT_RESEND_S + 0.1)
    assert len(sent(book, Report, ANNA)) == 2


def test_a_failed_render_is_reported_without_being_verified():
    book = give(woken(), lease(1))
    book.feed(FrameRendered(book.expect(Render).task, failed())).expect_no(Verify)
    assert sent(book, Report, ANNA)[0].result == failed()


def test_short_frames_overlap_so_that_the_renderer_never_waits():
    book = give(woken(), lease(1, 2, 3))
    finish(book, book.expect(Render, frame=1).task, 1, seconds=0.1)
    assert [one.frame for one in book.take(Render)] == [2, 3]


def test_two_slots_render_two_leases():
    book = give(woken(slots=2), lease(1, name="1"), lease(2, name="2"))
    assert sorted((one.slot, one.frame) for one in book.take(Render)) == [(0, 1), (1, 2)]


def test_a_scene_is_fetched_before_its_first_frame():
    book = give(woken(), lease(1, manifest=SCENE))
    book.expect_no(Render)
    fetch = book.expect(FetchBlobs)
    assert fetch.items == ((digest("scene"), 1000),)
    assert ANNA in fetch.holders
    book.feed(BlobsEnded(fetch.ticket, "")).expect(Render)


def test_a_scene_that_cannot_be_had_is_handed_back_and_costs_nothing():
    book = give(woken(), lease(1, 2, manifest=SCENE))
    book.feed(BlobsEnded(book.expect(FetchBlobs).ticket, "nobody has it")).expect(Notice, event="scene_fetch_failed")
    assert sent(book, Release, ANNA)[0].frames == (1, 2)
    assert book.machine.is_idle


def test_a_scene_that_cannot_be_had_is_asked_for_again_after_a_pause_and_not_in_a_circle():
    """What is handed back wakes the peer that has handed it back."""
    book = give(woken(), lease(1, manifest=SCENE))
    book.feed(BlobsEnded(book.expect(FetchBlobs).ticket, "nobody has it"))
    asked = len(sent(book, Steal, ANNA))
    for _ in range(10):
        book.feed(StreamReceived(ANNA, Wake(JOB))).wait(0.05)
    assert len(sent(book, Steal, ANNA)) == asked
    book.wait(2 * limits.IDLE_ASK_S).feed(StreamReceived(ANNA, Wake(JOB)))
    assert len(sent(book, Steal, ANNA)) == asked + 1


def test_even_an_owner_makes_sure_that_it_has_the_scene():
    book = begin().feed(StreamReceived(ME, Wake(JOB)))
    give(book, lease(1, owner=ME, manifest=SCENE), owner=ME)
    assert ME not in book.expect(FetchBlobs).holders


def test_a_scene_is_looked_at_and_reported():
    book = give(woken(), lease(inspect=True))
    book.feed(InspectEnded(book.expect(Inspect).task, Inspection(frame_end=9)))
    (told,) = sent(book, InspectReport, ANNA)
    assert told.inspection.frame_end == 9
    book.feed(StreamReceived(ANNA, Reported(JOB, told.attempt)))
    assert book.machine.is_idle


def test_progress_is_a_lower_bound():
    book = give(woken(), lease(1))
    task = book.expect(Render).task
    book.feed(FrameProgressed(task, 0.5), FrameProgressed(task, 0.2))
    assert [(one.at, one.fraction) for one in book.machine._tasks.values()] == [(0, 0.5)]


def test_the_same_lease_twice_is_one_lease():
    book = give(woken(), lease(1))
    book.feed(StreamReceived(ANNA, Granted(99, (lease(1),))))
    assert len(book.take(Render)) == 1


# leases


def test_leases_are_renewed_with_the_frames_that_are_open():
    book = give(woken(), lease(1, 2, 3))
    finish(book, book.expect(Render, frame=1).task, 1)
    (told,) = sent(book, Report, ANNA)
    book.feed(StreamReceived(ANNA, Reported(JOB, told.attempt))).wait(limits.LEASE_RENEW_S + 0.1)
    ((_, job, _, frames),) = sent(book, Renew, ANNA)[-1].leases
    assert (job, frames) == (JOB, (2, 3))


def test_a_revoked_frame_is_stopped_and_never_reported():
    book = give(woken(), lease(1, 2))
    task = book.expect(Render, frame=1).task
    book.feed(StreamReceived(ANNA, Revoke(LeaseId("1".rjust(16, "0")), JOB, (1,), "somebody else has it")))
    book.expect(StopTask, task=task)
    book.feed(FrameRendered(task, failed("infrastructure")))
    assert sent(book, Report) == []
    book.expect(Render, frame=2)


def test_a_revoked_lease_is_dropped_whole_with_what_was_not_reported():
    book = give(woken(), lease(1, 2))
    finish(book, book.expect(Render, frame=1).task, 1)
    second = book.expect(Render, frame=2).task
    book.feed(StreamReceived(ANNA, Revoke(LeaseId("1".rjust(16, "0")), JOB, (), "cancelled")))
    book.feed(FrameRendered(second, failed("infrastructure")))
    assert book.machine.is_idle


def test_an_ended_job_is_dropped_and_one_of_which_nothing_is_known_is_not():
    book = give(woken(), lease(1))
    book.feed(SummaryChanged(JOB, None)).expect_no(StopTask)
    book.feed(SummaryChanged(JOB, job_view(state="cancelled"))).expect(StopTask)


def test_reports_follow_the_job_to_another_owner():
    book = give(woken(), lease(1))
    finish(book, book.expect(Render).task, 1)
    book.feed(SummaryChanged(JOB, job_view(owner=BEN))).forget().wait(limits.REPORT_RESEND_S + 0.1)
    assert len(sent(book, Report, BEN)) == 2, "at once, and again when it is not thanked for"


def test_an_owner_that_takes_over_is_told_at_once_what_is_in_flight_here():
    book = give(woken(), lease(1, 2))
    book.feed(SummaryChanged(JOB, job_view(owner=BEN, epoch=2)))
    (renewal,) = sent(book, Renew, BEN)
    assert [(row[1], row[3]) for row in renewal.leases] == [(JOB, (1, 2))]
    book.feed(SummaryChanged(JOB, job_view(owner=BEN, epoch=2)))
    assert sent(book, Renew, BEN) == []
    finish(book, book.expect(Render, frame=1).task, 1)
    assert sent(book, Report, BEN)


def test_an_owner_that_was_overtaken_does_not_get_its_leases_back():
    book = give(woken(), lease(1, owner=BEN))
    book.feed(SummaryChanged(JOB, job_view(owner=ANNA)))  # an equal epoch, and a lesser peer
    assert sent(book, Renew) == []


def test_an_owner_that_has_started_again_is_told_when_it_speaks_of_the_job():
    book = give(woken(), lease(1))
    book.feed(changed(ANNA, "dead"), changed(ANNA, run_epoch=2))
    assert sent(book, Renew) == []
    book.feed(SummaryChanged(JOB, job_view()))
    assert len(sent(book, Renew, ANNA)) == 1


def test_what_ends_while_its_owner_is_gone_goes_into_the_outbox_and_reaches_the_next_owner_after_a_restart():
    book = give(woken(), lease(1)).feed(changed(ANNA, "dead"))
    finish(book, book.expect(Render).task, 1)
    (put,) = [record for effect in book.take(Persist) for record in effect.records if isinstance(record, PutValue)]
    again = begin().feed(Booted((), {put.key: put.value})).forget()
    assert not again.machine.is_idle
    again.feed(changed(ANNA, "dead"), SummaryChanged(JOB, job_view(owner=BEN, epoch=2))).wait(0.1)
    (told,) = sent(again, Report, BEN)
    again.feed(StreamReceived(BEN, Reported(JOB, told.attempt)))
    assert any(isinstance(record, DropValue) for effect in again.take(Persist) for record in effect.records)
    assert again.machine.is_idle


def test_a_dead_owner_is_not_written_to_until_it_is_back():
    book = give(woken(), lease(1))
    finish(book, book.expect(Render).task, 1)
    book.feed(changed(ANNA, "dead")).forget().wait(30.0)
    assert book.out == []
    book.feed(changed(ANNA)).wait(limits.REPORT_RESEND_S + 0.1)
    assert sent(book, Report, ANNA)


# draining


def test_a_leaving_peer_does_not_wait_for_an_owner_that_is_gone_since_its_outbox_keeps_the_report():
    book = give(woken(), lease(1))
    finish(book, book.expect(Render).task, 1)
    drained(book)
    assert not book.machine.may_leave
    book.feed(changed(ANNA, "left"))
    assert book.machine.may_leave
    assert not book.machine.is_idle


def drained(book: Playbook) -> Any:
    return book.feed(DrainAsked(leave=True))


def test_draining_hands_back_what_has_not_begun_and_finishes_the_rest():
    book = give(woken(), lease(1, 2, 3))
    task = book.expect(Render, frame=1).task
    drained(book)
    assert sent(book, Release, ANNA)[0].frames == (2, 3)
    finish(book, task, 1)
    assert len(sent(book, Report, ANNA)) == 1
    book.feed(StreamReceived(ANNA, Wake(JOB)))
    assert sent(book, Steal) == []


def test_a_lease_that_arrives_while_draining_is_handed_back():
    book = woken()
    drained(book)
    give(book, lease(1, 2))
    assert sent(book, Release, ANNA)[0].frames == (1, 2)
    assert book.machine.is_idle


def test_at_the_end_of_the_grace_everything_is_stopped_and_handed_back():
    book = give(woken(), lease(1, 2))
    task = book.expect(Render, frame=1).task
    drained(book).feed(GraceEnded())
    book.expect(StopTask, task=task)
    assert [one.frames for one in sent(book, Release, ANNA)] == [(2,), (1,)]
    book.feed(FrameRendered(task, failed("infrastructure")))
    assert book.machine.is_idle


def test_after_draining_was_called_off_the_peer_asks_again():
    book = drained(begin())
    book.feed(UndrainAsked(), StreamReceived(ANNA, Wake(JOB)))
    assert sent(book, Steal, ANNA)


def test_an_idle_peer_keeps_one_slow_deadline():
    book = begin().forget()
    count, until = 0, book.now_s + 60.0
    while (due := book.machine.next_deadline()) is not None and due < until:
        assert due > book.now_s
        book.now_s = due
        book.machine.on_deadline(book.now)
        count += 1
    assert count <= 60
    assert book.machine.busy_s(book.now) is None


def test_however_short_the_frames_are_one_lease_ahead_is_enough():
    book = give(woken(), lease(1, name="1"))
    book.feed(SummaryChanged(JOB, job_view(pending=1000)))
    finish(book, book.expect(Render, frame=1).task, 1, seconds=0.001)
    asks = 0
    for number in range(2, 50):
        questions = sent(book, Steal, ANNA)
        if not questions:
            break
        asks += 1
        book.feed(StreamReceived(ANNA, Granted(questions[0].ask, (lease(number, name=str(number)),))))
    assert asks == limits.FRAMES_IN_RENDERER_MAX + 1
