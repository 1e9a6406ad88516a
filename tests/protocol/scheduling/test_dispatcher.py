"""An owner hands out frames and takes results, whatever is lost on the way."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from protocol import limits
from protocol.cards import DISTRUST, Check
from protocol.effects import FetchBlobs, Notice
from protocol.events import BlobsEnded, DrainAsked, StreamFailed, StreamReceived
from protocol.ids import JobId, LeaseId, PeerId
from protocol.jobs.results import Failure, FrameResult, Inspection
from protocol.scheduling.dispatcher import Dispatcher
from protocol.signals import FrameCommitted, SceneInspected, Send, WorkClosed, WorkProgress
from protocol.wire.work import Granted, InspectReport, Lease, Nothing, Release, Renew, Reported, Revoke, Wake
from tests.playbook import Playbook
from tests.protocol.making import (
    ANNA,
    BEN,
    CARL,
    JOB,
    ME,
    NULL,
    attempt,
    card,
    changed,
    done,
    failed,
    fence,
    lease,
    report,
    sent,
    spec,
    steal,
    work,
)

OTHER = JobId("cd" * 16)


def begin(*peers: PeerId, renders: bool = True) -> Playbook:
    book = Playbook(Dispatcher(me=ME, run_epoch=1, random=Random(1)))
    return book.feed(
        changed(ME, with_card=card() if renders else card(capabilities=())), *(changed(one) for one in peers)
    ).forget()


def grant(book: Playbook, thief: PeerId = ANNA, slots: int = 1) -> Lease:
    book.feed(StreamReceived(thief, steal(slots=slots)))
    (granted,) = sent(book, Granted, thief)
    return granted.leases[0]


def tell(book: Playbook, thief: PeerId, given: Lease, frame: int, result: FrameResult | None = None) -> Playbook:
    return book.feed(StreamReceived(thief, report(given, frame, result or done(frame, thief))))


def land(book: Playbook, error: str = "") -> Playbook:
    return book.feed(BlobsEnded(book.expect(FetchBlobs).ticket, error))


# handing out


def test_idle_peers_are_woken_at_once_this_one_first_and_no_more_than_are_needed():
    book = begin(ANNA, BEN, CARL).feed(work("1"))
    woken = [one for one in book.out if getattr(one, "message", None) == Wake(JOB)]
    assert len(woken) == 2
    assert woken[0].peer == ME


def test_work_that_waits_wakes_idle_peers_again():
    book = begin(ANNA).feed(work("1"))
    book.forget().wait(limits.IDLE_ASK_S)
    assert len(sent(book, Wake, ANNA)) >= 1


def test_an_unmeasured_peer_gets_one_frame_and_a_measured_one_a_batch():
    book = begin(ANNA).feed(work("1-100"))
    first = grant(book)
    assert first.frames == (1,)
    land(tell(book, ANNA, first, 1, done(1, ANNA, seconds=0.5)))
    assert 1 < len(grant(book).frames) <= 60


def test_a_thief_that_has_measured_its_frames_itself_is_believed():
    book = begin(ANNA).feed(work("1-100"))
    book.feed(StreamReceived(ANNA, replace(steal(), seconds_per_frame=((JOB, 0.5),))))
    assert len(sent(book, Granted, ANNA)[0].leases[0].frames) > 1


def test_a_lease_says_all_that_a_thief_needs():
    book = begin(ANNA).feed(work("3-4", blender="5.0", generations=((3, 2),)))
    lease = grant(book)
    assert (lease.job, lease.fence, lease.frames, lease.generations) == (JOB, fence(), (3,), (2,))
    assert lease.attempts[0].owner == ME
    assert lease.ttl_s == limits.LEASE_TTL_S
    assert lease.blender == "5.0"


def test_what_goes_on_is_said_before_any_message_since_one_to_ourselves_is_answered_at_once():
    book = begin(ANNA).feed(work("1-9")).forget()
    book.feed(StreamReceived(ANNA, steal()))
    assert [type(one) for one in book.out][:2] == [WorkProgress, Send]
    (lease,) = sent(book, Granted, ANNA)[0].leases
    book.forget()
    tell(book, ANNA, lease, 1, failed())
    kinds = [type(one) for one in book.out]
    assert kinds.index(WorkProgress) < kinds.index(Send)


def test_every_slot_that_asks_gets_a_lease_and_no_frame_twice():
    book = begin(ANNA, BEN).feed(work("1-3"))
    book.feed(StreamReceived(ANNA, steal(slots=2)), StreamReceived(BEN, steal(slots=2)))
    leases = [lease for granted in sent(book, Granted) for lease in granted.leases]
    assert sorted(frame for lease in leases for frame in lease.frames) == [1, 2, 3]


@pytest.mark.parametrize(
    "opened", [work("1", open_=False), work("1", only_on=BEN), work(None, spec(renderer="blender", frames=None), blender="4.2")]
)
def test_nothing_is_handed_out_that_may_not_be(opened: Any):
    book = begin(ANNA).feed(opened).feed(StreamReceived(ANNA, steal()))
    assert sent(book, Nothing, ANNA)


def test_a_stranger_gets_nothing():
    book = begin().feed(work("1")).feed(StreamReceived(ANNA, steal()))
    assert sent(book, Nothing, ANNA)


def test_the_higher_priority_goes_first_and_equal_submitters_share():
    book = begin(ANNA).feed(work("1-9", submitter="one"), work("1-9", job=OTHER, submitter="two", submitted_ms=2000))
    assert grant(book).job == JOB
    assert grant(book).job == OTHER, "the first submitter has a frame under way"
    assert grant(book).job == JOB
    book.feed(work("1-9", job=OTHER, submitter="two", submitted_ms=2000, priority=80))
    assert {grant(book).job for _ in range(3)} == {OTHER}


def test_a_peer_that_is_leaving_hands_out_nothing():
    book = begin(ANNA).feed(work("1"), DrainAsked(leave=True)).feed(StreamReceived(ANNA, steal()))
    assert sent(book, Nothing, ANNA)


def test_one_peer_looks_at_the_scene():
    book = begin(ANNA, BEN).feed(work(None))
    lease = grant(book)
    assert lease.inspect
    assert lease.frames == ()
    book.feed(StreamReceived(BEN, steal()))
    assert sent(book, Nothing, BEN)
    book.feed(StreamReceived(ANNA, InspectReport(lease.lease, JOB, lease.attempts[0], Inspection())))
    assert book.expect(SceneInspected).peer == ANNA
    assert sent(book, Reported, ANNA)


def test_a_renderer_that_dies_over_the_scene_is_no_verdict_until_several_did():
    book = begin(ANNA, BEN, CARL).feed(work(None))
    for thief in (ANNA, BEN, CARL):
        lease = grant(book, thief)
        crashed = Inspection(error=Failure("crash", "it died"))
        book.feed(StreamReceived(thief, InspectReport(lease.lease, JOB, lease.attempts[0], crashed)))
    assert book.expect(SceneInspected).inspection.error is not None
    assert len(book.take(Notice, event="inspection_failed")) == 2


# results


def test_a_frame_is_committed_when_its_bytes_are_here_and_acknowledged_after_that():
    book = begin(ANNA).feed(work("1"))
    tell(book, ANNA, grant(book), 1).expect_no(FrameCommitted)
    fetch = book.expect(FetchBlobs)
    assert (fetch.holders, fetch.pin_for) == ((ANNA,), JOB)
    assert sent(book, Reported) == []
    book.forget().feed(BlobsEnded(fetch.ticket, ""))
    kinds = [type(one).__name__ for one in book.out]
    assert kinds.index("FrameCommitted") < kinds.index("Send")
    assert sent(book, Reported, ANNA)


def test_an_owner_that_cannot_keep_up_hands_out_no_more_until_bytes_have_come(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "LANDINGS_PER_JOB_MAX", 3)
    book = begin(ANNA).feed(work(frames="1-50"))
    tell(book, ANNA, grant(book), 1).forget()
    given = grant(book)
    assert given.frames == (2, 3), "a batch holds no more than there is room for"
    for frame in given.frames:
        tell(book, ANNA, given, frame)
    ticket = book.expect(FetchBlobs).ticket
    book.forget().feed(StreamReceived(ANNA, steal()))
    assert sent(book, Granted, ANNA) == []
    assert sent(book, Nothing, ANNA) != []
    book.feed(BlobsEnded(ticket, "")).forget()
    assert grant(book).frames == (4,)


def test_our_own_frames_are_here_already():
    book = begin().feed(work("1"))
    tell(book, ME, grant(book, ME), 1).expect(FrameCommitted)


def test_bytes_that_cannot_be_fetched_cost_no_attempt():
    book = begin(ANNA).feed(work("1"))
    land(tell(book, ANNA, grant(book), 1), "unreachable").expect_no(FrameCommitted)
    assert grant(book).frames == (1,)


def test_a_report_that_comes_twice_commits_once_and_is_acknowledged_twice():
    book = begin(ANNA).feed(work("1"))
    lease = grant(book)
    land(tell(book, ANNA, lease, 1))
    tell(book, ANNA, lease, 1)
    assert len(book.take(FrameCommitted)) == 1
    assert len(sent(book, Reported, ANNA)) == 2


def test_a_failure_that_is_reported_twice_counts_once():
    book = begin(ANNA, renders=False).feed(work("1"))
    lease = grant(book)
    for _ in range(5):
        tell(book, ANNA, lease, 1, failed())
    assert len(book.take(FrameCommitted)) == 1
    assert len(sent(book, Reported, ANNA)) == 5
    assert grant(book).frames == (1,), "it is still wanted"


def test_a_poison_frame_fails_on_different_peers_and_the_rest_goes_on():
    book = begin(ANNA, BEN, CARL).feed(work("1-2"))
    for thief in (ANNA, BEN, CARL):
        lease = grant(book, thief)
        assert lease.frames == (1,)
        tell(book, thief, lease, 1, failed())
    assert len(book.take(FrameCommitted)) == 3
    assert grant(book, ANNA).frames == (2,)
    book.feed(StreamReceived(BEN, steal()))
    assert sent(book, Nothing, BEN)


def test_a_frame_that_failed_here_goes_elsewhere_while_there_is_an_elsewhere():
    book = begin(ANNA, BEN, renders=False).feed(work("1"))
    tell(book, ANNA, grant(book), 1, failed())
    book.feed(StreamReceived(ANNA, steal()))
    assert sent(book, Nothing, ANNA)
    book.feed(changed(BEN, "dead"))
    assert grant(book, ANNA).frames == (1,)


def test_what_the_infrastructure_lost_is_no_failed_attempt():
    book = begin(ANNA).feed(work("1"))
    tell(book, ANNA, grant(book), 1, failed("infrastructure")).expect_no(FrameCommitted)
    assert grant(book).frames == (1,)


def test_the_first_result_wins_and_a_later_one_is_a_duplicate():
    book = begin(ANNA, BEN).feed(work("1"))
    slow = grant(book)
    book.feed(changed(ANNA, "dead"), changed(ANNA))
    land(tell(book, BEN, grant(book, BEN), 1))
    tell(book, ANNA, slow, 1).expect(Notice, event="duplicate_result")
    assert [one.peer for one in book.take(FrameCommitted)] == [BEN]


def test_our_own_result_overtakes_bytes_that_are_on_their_way():
    book = begin(ANNA).feed(work("1"))
    tell(book, ANNA, grant(book), 1)
    late = book.expect(FetchBlobs)
    book.feed(StreamReceived(ME, replace(report(replace(LEASE_OF_MINE), 1, done(1)), generation=0)))
    assert len(book.take(FrameCommitted)) == 1
    book.feed(BlobsEnded(late.ticket, ""))
    book.expect_no(FrameCommitted)


def test_a_late_success_after_the_last_failure_counts():
    book = begin(ANNA, BEN).feed(work("1", spec(frames="1", max_attempts=1)))
    lost = grant(book)
    book.feed(changed(ANNA, "dead"), changed(ANNA))
    tell(book, BEN, grant(book, BEN), 1, failed())
    land(tell(book, ANNA, lost, 1))
    assert [one.result.failure is None for one in book.take(FrameCommitted)] == [False, True]


def test_a_frame_that_is_wanted_anew_while_it_lands_is_rendered_anew():
    book = begin(ANNA, BEN).feed(work("1", spec(frames="1", max_attempts=1)))
    lost = grant(book)
    book.feed(changed(ANNA, "dead"), changed(ANNA))
    tell(book, BEN, grant(book, BEN), 1, failed())
    tell(book, ANNA, lost, 1)
    book.take(FrameCommitted)
    book.feed(work("1", spec(frames="1", max_attempts=1), generations=((1, 1),)))
    land(book).expect_no(FrameCommitted)
    assert sent(book, Reported, ANNA)
    assert grant(book).generations == (1,)


def test_an_heir_that_does_not_know_the_frames_thanks_for_none_and_leaves_their_workers_at_work():
    book, given = begin(ANNA, BEN).feed(work(None, resumed=True)), lease(1, 2, name="a" * 16)
    tell(renew(book, ANNA, 1, 2), ANNA, given, 1).expect_no(FetchBlobs)
    assert (sent(book, Reported, ANNA), sent(book, Revoke, ANNA)) == ([], [])
    land(tell(renew(book.feed(work("1-2")), ANNA, 2), ANNA, given, 1)).expect(FrameCommitted)
    assert (len(sent(book, Reported, ANNA)), sent(book, Revoke, ANNA), book.machine.runs_on(JOB, 2)) == (1, [], ANNA)


def test_what_an_heir_has_not_heard_of_yet_is_no_duplicate():
    book, again = begin(ANNA).feed(work("1-2", steps=b"\x03\x00")), replace(lease(1), generations=(1,))
    tell(book, ANNA, again, 1).expect_no(Notice, event="duplicate_result")
    assert sent(book, Reported, ANNA) == []
    land(tell(book.feed(work("1-2", generations=((1, 1),))), ANNA, again, 1)).expect(FrameCommitted)
    assert len(sent(book, Reported, ANNA)) == 1


def test_results_of_an_ended_job_are_acknowledged_and_of_an_unknown_one_are_not():
    book = begin(ANNA).feed(work("1-2"))
    lease = grant(book)
    book.feed(WorkClosed(JOB, "cancelled"))
    assert sent(book, Revoke, ANNA)[0].frames == ()
    tell(book, ANNA, lease, 1).expect_no(FetchBlobs)
    assert sent(book, Reported, ANNA)
    tell(book, ANNA, replace(lease, job=OTHER), 1)
    assert sent(book, Reported, ANNA) == []


def test_a_job_that_moved_is_not_taken_for_an_ended_one():
    book = begin(ANNA).feed(work("1"))
    lease = grant(book)
    book.feed(WorkClosed(JOB, "another peer owns it", ended=False))
    tell(book, ANNA, lease, 1)
    assert sent(book, Reported, ANNA) == []


def test_bytes_that_arrive_after_a_cancellation_change_nothing():
    book = begin(ANNA).feed(work("1"))
    tell(book, ANNA, grant(book), 1)
    fetch = book.expect(FetchBlobs)
    book.feed(WorkClosed(JOB, "cancelled"), BlobsEnded(fetch.ticket, "")).expect_no(FrameCommitted)


# leases end


def test_a_grant_that_was_not_delivered_is_taken_back_at_once():
    book = begin(ANNA, BEN).feed(work("1"))
    lease = grant(book)
    book.feed(StreamFailed(ANNA, Granted(1, (lease,)), refused=True))
    assert grant(book, BEN).frames == (1,)


@pytest.mark.parametrize("news", [changed(ANNA, "dead"), changed(ANNA, "left"), changed(ANNA, run_epoch=2)])
def test_the_frames_of_who_died_left_or_restarted_are_requeued_at_once(news: Any):
    book = begin(ANNA, BEN).feed(work("1"))
    grant(book)
    book.feed(news).expect(Notice, event="frames_requeued")
    assert grant(book, BEN).frames == (1,)


def test_a_suspected_thief_keeps_its_frames():
    book = begin(ANNA, BEN).feed(work("1"))
    grant(book)
    book.feed(changed(ANNA, "suspect")).expect_no(Notice, event="frames_requeued")


def test_silence_ends_a_lease_and_a_renewal_does_not():
    book = begin(ANNA).feed(work("1-2"))
    lease = grant(book)
    for _ in range(6):
        book.wait(5.0).feed(StreamReceived(ANNA, Renew(((lease.lease, JOB, lease.fence, lease.frames),))))
    book.expect_no(Notice, event="lease_expired")
    book.wait(limits.LEASE_TTL_S + limits.IDLE_ASK_S).expect(Notice, event="lease_expired")


def test_frames_that_a_thief_does_not_name_any_more_are_taken_back():
    book = begin(ANNA).feed(work("1-9"))
    land(tell(book, ANNA, grant(book), 1))
    lease = grant(book)
    book.wait(6.0).feed(StreamReceived(ANNA, Renew(((lease.lease, JOB, lease.fence, lease.frames[1:]),))))
    assert book.machine.runs_on(JOB, lease.frames[0]) is None
    assert book.machine.runs_on(JOB, lease.frames[1]) == ANNA


def test_after_a_restart_thieves_keep_what_they_have_and_lose_what_others_have():
    book = begin(ANNA, BEN).feed(work("1-3"))
    assert grant(book, BEN).frames == (1,)
    book.feed(StreamReceived(ANNA, Renew(((LeaseId("a" * 16), JOB, fence(), (1, 2)),))))
    (revoke,) = sent(book, Revoke, ANNA)
    assert revoke.frames == (1,)
    assert book.machine.runs_on(JOB, 2) == ANNA
    assert grant(book, BEN).frames == (3,)


def renew(book: Playbook, who: PeerId, *frames: int, job: JobId = JOB, holds: Any = None, name: str = "a") -> Playbook:
    return book.feed(StreamReceived(who, Renew(((LeaseId(name * 16), job, holds or fence(), frames),))))


def test_a_lease_of_a_greater_owner_is_revoked():
    assert sent(renew(begin(ANNA).feed(work("1-3")), ANNA, 1, holds=fence(epoch=9)), Revoke, ANNA)


def test_a_lease_of_a_job_that_has_ended_is_revoked_and_of_one_that_is_not_open_yet_it_is_not():
    book = begin(ANNA).feed(work("1-3"), WorkClosed(JOB, "cancelled")).forget()
    assert sent(renew(book, ANNA, 1), Revoke, ANNA)
    assert sent(renew(book, ANNA, 1, job=OTHER), Revoke, ANNA) == []


def test_an_heir_adopts_what_the_lesser_owner_has_leased_and_gives_out_the_rest_after_a_moment():
    book = begin(ANNA, BEN).feed(work("1-3", fence=fence(epoch=2), resumed=True))
    assert sent(book.feed(StreamReceived(BEN, steal())), Granted) == [], "its workers have not yet said what they have in flight"
    renew(book, ANNA, 1, 2)
    assert sent(book, Revoke, ANNA) == []
    assert book.machine.runs_on(JOB, 2) == ANNA
    book.wait(limits.RECLAIM_S + 0.1)
    assert sent(book, Wake)
    assert grant(book, BEN).frames == (3,)


def test_what_workers_say_before_the_job_is_open_counts_when_it_is():
    book = renew(begin(ANNA, BEN), ANNA, 1, 2)
    book.feed(work("1-3", resumed=True))
    assert book.machine.runs_on(JOB, 1) == ANNA
    book.wait(limits.RECLAIM_S + 0.1)
    assert grant(book, BEN).frames == (3,)


def test_early_renewals_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "EARLY_RENEWALS_MAX", 1)
    book = renew(renew(begin(ANNA, BEN), ANNA, 1), BEN, 2, name="b").feed(work("1-3", resumed=True))
    assert (book.machine.runs_on(JOB, 1), book.machine.runs_on(JOB, 2)) == (None, BEN)


def test_an_heir_adopts_a_look_at_the_scene_that_is_under_way():
    book = begin(ANNA, BEN).feed(work(None, fence=fence(epoch=2), resumed=True))
    renew(book, ANNA)
    book.wait(limits.RECLAIM_S + 0.1)
    assert sent(book.feed(StreamReceived(BEN, steal())), Granted) == []


def test_an_owner_that_steps_down_revokes_nothing_since_workers_go_on_for_the_next_one():
    book = begin(ANNA).feed(work("1"))
    grant(book)
    book.feed(WorkClosed(JOB, "another peer owns it", ended=False))
    assert sent(book, Revoke, ANNA) == []


def test_what_a_draining_thief_hands_back_goes_to_somebody_else():
    book = begin(ANNA, BEN).feed(work("1"))
    lease = grant(book)
    book.feed(changed(ANNA, with_card=card(draining=True)))
    book.feed(StreamReceived(ANNA, Release(lease.lease, JOB, lease.frames, "draining")))
    book.expect(Notice, event="frames_returned")
    assert sent(book, Wake, BEN)
    book.feed(StreamReceived(ANNA, steal()))
    assert sent(book, Nothing, ANNA)


def test_an_inspection_that_is_handed_back_goes_to_somebody_else():
    book = begin(ANNA, BEN).feed(work(None))
    lease = grant(book)
    book.feed(StreamReceived(ANNA, Release(lease.lease, JOB, (), "draining")))
    assert grant(book, BEN).inspect


def test_why_a_job_waits_is_told_once():
    book = begin(ANNA).feed(work("1", spec(renderer="blender", frames="1")), changed(ANNA, with_card=card(capabilities=(NULL,))))
    book.feed(changed(ME, with_card=card(capabilities=()))).forget()
    assert [reason.code for reason in book.machine.explain(JOB)] == ["no_capable_peer", "no_renderer", "no_renderer"]
    book.wait(2.5)
    assert len(book.take(WorkProgress)) == 1


def test_when_nothing_waits_and_nothing_is_out_there_is_no_deadline():
    book = begin(ANNA).feed(work("1"))
    land(tell(book, ANNA, grant(book), 1)).feed(WorkClosed(JOB, "over")).wait(5.0)
    assert book.machine.next_deadline() is None


LEASE_OF_MINE = Lease(
    LeaseId("f" * 16), JOB, fence(), False, (1,), (0,), (attempt(99),), 20.0, "{}", work().manifest, (ME,), "", ""
)  # fmt: skip


def test_what_a_peer_renders_whose_frames_were_wrong_is_not_taken_and_its_leases_are_taken_back():
    book = begin(ANNA, BEN).feed(work())
    landing, given = grant(book), grant(book)
    tell(book, ANNA, landing, landing.frames[0])
    book.feed(changed(ANNA, with_card=card(checks=(Check(DISTRUST, "critical", "wrong"),))))
    book.expect(Notice, event="frames_requeued")
    tell(book, ANNA, given, given.frames[0])
    assert len(sent(book, Reported, ANNA)) == 1
    land(book)
    book.expect(Notice, event="attempt_lost")
    book.expect_no(FrameCommitted)
    book.feed(StreamReceived(ANNA, steal()))
    assert sent(book, Nothing, ANNA) != []
    assert book.machine.frames_waiting() == 4
