"""The ledger's promises, in virtual time: what is said, when, and what is kept."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from protocol import limits
from protocol.effects import FetchBlobs, Notice, Persist, PinBlobs, Reply, UnpinJob
from protocol.errors import Conflict, NotFound, Unavailable
from protocol.events import BlobsEnded, Booted, ControlAsked, StreamReceived, SubmitAsked
from protocol.ids import AuthorId, JobId, PeerId, RequestId
from protocol.jobs.manifest import EMPTY, Manifest
from protocol.jobs.results import Inspection
from protocol.ledger.facts import Closed, Fact, FrameEnded, Inspected, Owner, ReplicaSet
from protocol.ledger.ledger import DELETED_EPOCH, Ledger
from protocol.ledger.tombstones import TOMBSTONE
from protocol.records import ForgetJob, PutFact, PutValue
from protocol.signals import (
    FrameCommitted,
    Publish,
    SceneInspected,
    Send,
    SummaryChanged,
    WorkClosed,
    WorkOpened,
    WorkProgress,
)
from protocol.summaries import summary_from_bytes
from protocol.views import JobView, Submitted
from protocol.wire import work
from protocol.wire.work import Facts, FactsHeld
from tests.playbook import Playbook
from tests.protocol.making import (
    ANNA,
    BEN,
    CARL,
    ME,
    SCENE,
    WOOD,
    attempt,
    begun,
    changed,
    done,
    facts,
    failed,
    fence,
    job_view,
    sent,
    spec,
)

R = RequestId("r")
OTHER_AUTHOR = AuthorId("f" * 16)


def begin(*peers: PeerId, author: str = "a" * 16, booted: Booted | None = None) -> Playbook:
    ledger = Ledger(me=ME, author=AuthorId(author), run_epoch=1, host="here", replicas=3, random=Random(1))
    book = Playbook(ledger, now_s=5e9).feed(booted or Booted((), {}))
    return book.feed(*(changed(one) for one in peers))


def submit(
    book: Playbook, wanted: Any = None, manifest: Manifest = EMPTY, *, key: str = "key", request: RequestId = R
) -> Playbook:
    return book.feed(SubmitAsked(request, wanted or spec(), manifest, "client", key))


def persisted(book: Playbook) -> list[Fact]:
    return [record.fact for effect in book.take(Persist) for record in effect.records if isinstance(record, PutFact)]


def confirm(book: Playbook, peer: PeerId, job: JobId) -> Playbook:
    """`peer` says that it holds everything, with its bytes."""
    versions = tuple(book.machine.fold(job).versions.items())
    return book.feed(StreamReceived(peer, FactsHeld(job, versions, versions)))


def accepted_job(*peers: PeerId, wanted: Any = None, manifest: Manifest = EMPTY) -> tuple[Playbook, JobId]:
    """A job that the client has our word for, on `peers` and here."""
    book = submit(begin(*peers), wanted, manifest)
    (job,) = book.machine._jobs
    for peer in peers:
        confirm(book, peer, job)
    return book, job


def commit(
    book: Playbook, job: JobId, frame: int, counter: int, result: Any = None, by: PeerId = ME, generation: int = 0
) -> Playbook:
    return book.feed(FrameCommitted(job, frame, generation, attempt(counter), by, result or done(frame, by)))


# accepting (C1, C2, C8)


def test_a_lonely_peer_accepts_at_once_and_persists_before_it_says_so():
    book = submit(begin())
    kinds = [type(effect) for effect in book.out]
    assert kinds.index(Persist) < kinds.index(Reply)
    answer = book.expect(Reply).value
    assert isinstance(answer, Submitted)
    assert (answer.copies, answer.created) == (1, True)
    assert book.expect(WorkOpened).frames is not None, "no scene, nothing to look at"


def test_with_others_there_the_client_waits_until_a_second_peer_holds_the_job_with_its_bytes():
    book = submit(begin(ANNA), spec(renderer="blender"), SCENE)
    (job,) = book.machine._jobs
    book.expect(PinBlobs, job=job)
    versions = tuple(book.machine.fold(job).versions.items())
    book.feed(StreamReceived(ANNA, FactsHeld(job, versions, ())))
    book.expect_no(Reply).expect_no(WorkOpened).expect_no(Publish)
    confirm(book, ANNA, job)
    assert book.expect(Reply).value.copies == 2
    assert book.expect(WorkOpened).frames is None, "somebody must look at the scene first"


def test_when_the_second_peer_dies_before_it_answers_a_third_is_asked():
    book = submit(begin(ANNA, BEN, CARL))
    first = {send.peer for send in book.take(Send)}
    assert len(first) == 2
    book.feed(*(changed(one, "dead") for one in first))
    book.expect_no(Reply)
    (rest,) = {ANNA, BEN, CARL} - first
    assert rest in {send.peer for send in book.take(Send)}
    (job,) = book.machine._jobs
    confirm(book, rest, job)
    assert book.expect(Reply).value.copies == 2


def test_when_the_second_peer_dies_and_nobody_is_left_one_copy_is_all_there_can_be():
    book = submit(begin(ANNA))
    book.expect_no(Reply)
    book.feed(changed(ANNA, "dead"))
    assert book.expect(Reply).value.copies == 1


def test_what_cannot_be_stored_in_time_is_refused_openly_and_forgotten_everywhere():
    book = submit(begin(ANNA))
    (job,) = book.machine._jobs
    book.forget().wait(limits.ACCEPT_S + 2 * limits.LEDGER_ROUND_S)
    assert isinstance(book.expect(Reply).value, Unavailable)
    assert book.machine.fold(job) is None
    assert any(isinstance(record, ForgetJob) for effect in book.take(Persist) for record in effect.records)
    assert [send.peer for send in book.take(Send) if isinstance(send.message, work.ForgetJob)] == [ANNA]


def test_a_job_that_was_given_up_and_comes_again_is_written_with_the_very_same_facts():
    """A replica may hold the first ones still: one number means one fact, for ever."""
    book = submit(begin(ANNA))
    first = persisted(book)
    book.forget().wait(limits.ACCEPT_S + 2 * limits.LEDGER_ROUND_S).forget()
    submit(book)
    assert persisted(book)[: len(first)] == first
    (job,) = book.machine._jobs
    assert [fact for send in book.take(Send) if isinstance(send.message, Facts) for fact in send.message.facts] == first
    confirm(book, ANNA, job)
    assert book.expect(Reply).value.copies == 2
    assert not book.machine._written


def test_a_job_that_another_peer_has_accepted_too_is_not_forgotten():
    book = submit(begin(ANNA))
    (job,) = book.machine._jobs
    other = facts(*begun(owner=PeerId("0" * 64)), author=OTHER_AUTHOR, job=job)
    book.feed(StreamReceived(ANNA, Facts(job, tuple(other), (), replicate=False)))
    book.forget().wait(limits.ACCEPT_S + 2 * limits.LEDGER_ROUND_S)
    assert isinstance(book.expect(Reply).value, Unavailable)
    assert book.machine.fold(job) is not None
    book.expect(WorkOpened)


def test_the_same_submission_again_is_the_same_job():
    book, job = accepted_job(ANNA)
    book.forget()
    answer = submit(book).expect(Reply).value
    assert (answer.job.id, answer.created, answer.copies) == (job, False, 2)
    assert persisted(book) == []


def test_a_submission_again_after_a_restart_counts_only_copies_that_were_heard_in_this_run():
    before, job = accepted_job(ANNA)
    book = begin(ANNA, author="b" * 16, booted=Booted(tuple(persisted(before)), {})).forget()
    submit(book).expect_no(Reply)
    confirm(book, ANNA, job)
    assert book.expect(Reply).value.copies == 2


def test_a_key_that_was_used_for_something_else_is_refused():
    book, _ = accepted_job()
    refused = submit(book.forget(), spec(frames="1-9")).expect(Reply).value
    assert isinstance(refused, Conflict)
    assert refused.code == "key_reused"


def test_a_submission_that_another_peer_has_confirmed_is_answered_with_its_word():
    before, job = accepted_job(ANNA)
    view = before.machine.view(job)
    book = begin(ANNA, BEN).feed(SummaryChanged(job, job_view(job, owner=ANNA, copies=2)))
    answer = submit(book).expect(Reply).value
    assert (answer.job.id, answer.created, answer.copies) == (view.id, False, 2)
    assert persisted(book) == []


def test_a_replica_that_is_asked_for_an_unconfirmed_job_reminds_its_owner_and_promises_nothing():
    before, job = accepted_job()
    taken = tuple(persisted(before))
    book = begin(ANNA, BEN)
    theirs = [Fact(job, OTHER_AUTHOR, 1, taken[0].body), Fact(job, OTHER_AUTHOR, 2, Owner(fence(ANNA)))]
    book.feed(StreamReceived(ANNA, Facts(job, tuple(theirs), (), replicate=True))).forget()
    submit(book)
    assert isinstance(book.expect(Reply).value, Unavailable)
    assert book.expect(Send).peer == ANNA


# what is known of a job


def test_a_scene_is_looked_at_once():
    book, job = accepted_job(wanted=spec(renderer="blender", frames=None), manifest=SCENE)
    book.feed(SceneInspected(job, attempt(1), ANNA, Inspection(frame_end=3)))
    book.feed(SceneInspected(job, attempt(2), BEN, Inspection(frame_end=9)))
    assert [fact.body.inspection.frame_end for fact in persisted(book) if isinstance(fact.body, Inspected)] == [3]
    submit(book.forget(), spec(renderer="blender", frames="1-2"), SCENE, key="another")
    assert any(isinstance(fact.body, Inspected) for fact in persisted(book)), "the same scene under the same settings"


def test_frames_become_facts_one_by_one_and_the_job_ends_with_the_last():
    book, job = accepted_job(wanted=spec(frames="1-2"))
    book.forget()
    commit(book, job, 1, 1)
    assert [type(fact.body) for fact in persisted(book)] == [FrameEnded]
    commit(book, job, 2, 2)
    assert [type(fact.body) for fact in persisted(book)] == [FrameEnded, Closed]
    book.expect(WorkClosed, job=job)
    assert book.machine.view(job).state == "completed"


def test_a_job_is_completed_only_when_its_frames_are_on_two_peers():
    book, job = accepted_job(ANNA, wanted=spec(frames="1"))
    commit(book.forget(), job, 1, 1)
    assert book.machine.view(job).state == "running"
    confirm(book, ANNA, job)
    assert book.machine.view(job).state == "completed"


def test_frames_that_others_rendered_are_on_two_peers_already():
    book, job = accepted_job(ANNA, wanted=spec(frames="1"))
    commit(book, job, 1, 1, by=ANNA)
    assert book.machine.view(job).state == "completed"


@pytest.mark.parametrize("ends", ["started again", "went and came back"])
def test_who_made_a_frame_in_an_earlier_run_may_have_lost_it(ends: str):
    """Its disk may have been put back; only the present run's word on a copy counts."""
    book, job = accepted_job(ANNA, wanted=spec(frames="1-2"))
    commit(book, job, 1, 1, by=ANNA)
    again = [changed(ANNA, run_epoch=2)] if ends == "started again" else [changed(ANNA, "dead"), changed(ANNA)]
    commit(book.feed(*again), job, 2, 2, by=ANNA)
    assert book.machine.view(job).state == "running"
    confirm(book, ANNA, job)
    assert book.machine.view(job).state == "completed"


def test_frames_that_another_owner_tells_of_are_not_known_to_be_with_their_makers():
    book, job = accepted_job(ANNA, wanted=spec(frames="1-2"))
    told = facts(FrameEnded(1, 0, attempt(1), ANNA, done(1, ANNA), 5), job=job, author=OTHER_AUTHOR)
    fetch = book.feed(StreamReceived(BEN, Facts(job, tuple(told), (), replicate=False))).expect(FetchBlobs)
    commit(book.feed(BlobsEnded(fetch.ticket, "")), job, 2, 2, by=ANNA)
    assert book.machine.view(job).state == "running"
    confirm(book, ANNA, job)
    assert book.machine.view(job).state == "completed"


def test_a_job_with_a_failed_frame_fails_after_the_others_are_done():
    book, job = accepted_job(wanted=spec(frames="1-2", max_attempts=1))
    commit(book, job, 1, 1, failed())
    assert book.machine.view(job).state == "running"
    commit(book, job, 2, 2)
    view = book.machine.view(job)
    assert (view.state, view.frames.failed, view.frames.done) == ("failed", 1, 1)
    assert "frame 1" in view.error


def test_a_retry_opens_an_ended_job_again():
    book, job = accepted_job(wanted=spec(frames="1-2", max_attempts=1))
    commit(commit(book, job, 1, 1, failed()), job, 2, 2)
    book.forget().feed(ControlAsked(R, job, "retry"))
    assert book.expect(WorkOpened).generations == ((1, 1),)
    commit(book, job, 1, 3, generation=1)
    assert book.machine.view(job).state == "completed"


def test_cancelling_is_final_and_takes_the_work_back():
    book, job = accepted_job()
    book.forget().feed(ControlAsked(R, job, "cancel"))
    assert book.expect(Reply).value.state == "cancelled"
    book.expect(WorkClosed, job=job)
    commit(book.forget(), job, 1, 1)
    assert book.machine.view(job).state == "cancelled"


def test_a_control_is_answered_when_a_second_peer_holds_it():
    book, job = accepted_job(ANNA)
    book.forget().feed(ControlAsked(R, job, "pause")).expect_no(Reply)
    confirm(book, ANNA, job)
    assert book.expect(Reply).value.state == "paused"


def test_a_control_elsewhere_or_about_nothing_is_refused():
    book = begin(ANNA).feed(ControlAsked(R, JobId("0" * 32), "pause"))
    assert isinstance(book.expect(Reply).value, NotFound)
    book.feed(StreamReceived(ANNA, Facts(JobId("ab" * 16), tuple(facts(*begun(owner=ANNA))), (), replicate=True)))
    book.feed(ControlAsked(R, JobId("ab" * 16), "pause"))
    assert isinstance(book.expect(Reply).value, Unavailable)


def test_only_an_ended_job_is_deleted_and_its_id_stays_dead():
    book, job = accepted_job(ANNA)
    book.forget().feed(ControlAsked(R, job, "delete"))
    assert isinstance(book.expect(Reply).value, Conflict)
    book.feed(ControlAsked(R, job, "cancel"))
    confirm(book, ANNA, job).forget().feed(ControlAsked(R, job, "delete"))
    assert isinstance(book.expect(Reply).value, JobView)
    book.expect(UnpinJob, job=job)
    assert sent(book, work.ForgetJob, ANNA)[0].fence.epoch == DELETED_EPOCH
    (persist,) = book.take(Persist)
    assert PutValue(TOMBSTONE + job, b"deleted") in persist.records
    refused = submit(book).expect(Reply).value
    assert refused.code == "job_deleted"
    again = begin(booted=Booted((), {TOMBSTONE + job: b"deleted"}))
    assert submit(again).expect(Reply).value.code == "job_deleted"


# replicas


def test_facts_that_were_lost_are_sent_again_each_round_until_they_are_confirmed():
    book = submit(begin(ANNA))
    book.forget().wait(2.5)
    assert len([send for send in book.take(Send) if isinstance(send.message, Facts)]) >= 2
    (job,) = book.machine._jobs
    confirm(book, ANNA, job)
    confirm(book, ANNA, job)
    book.forget().wait(5.0)
    assert book.take(Send) == []


def test_a_synced_replica_is_recorded():
    book, job = accepted_job(ANNA)
    assert any(isinstance(fact.body, ReplicaSet) and fact.body.peers == (ME, ANNA) for fact in persisted(book))
    assert book.machine.view(job).replicas == (ME, ANNA)


def test_facts_are_taken_from_anyone_and_persisted_before_they_are_confirmed():
    book = begin(ANNA).forget()
    book.feed(StreamReceived(ANNA, Facts(JobId("ab" * 16), tuple(facts(*begun(owner=ANNA))), (), replicate=True)))
    kinds = [type(effect) for effect in book.out]
    assert kinds.index(Persist) < kinds.index(Send)
    assert any(isinstance(send.message, FactsHeld) for send in book.take(Send))
    book.expect_no(WorkOpened)


def test_a_replica_sends_back_what_the_sender_lacks():
    book = begin(ANNA)
    mine = tuple(facts(*begun(owner=ANNA)))
    book.feed(StreamReceived(ANNA, Facts(mine[0].job, mine, (), replicate=False)))
    book.forget().feed(StreamReceived(BEN, Facts(mine[0].job, (), ((mine[0].author, 2),), replicate=False)))
    assert [fact.seq for fact in sent(book, Facts, BEN)[0].facts] == [3, 4]


def test_a_greater_fence_takes_the_job_over_and_is_brought_everything():
    book, job = accepted_job(ANNA)
    book.forget().feed(ControlAsked(R, job, "pause"))
    taken_over = Fact(job, OTHER_AUTHOR, 1, Owner(fence(ANNA, 2)))
    book.feed(StreamReceived(ANNA, Facts(job, (taken_over,), ((OTHER_AUTHOR, 1),), replicate=False)))
    assert isinstance(book.expect(Reply).value, Unavailable), "nobody waits in vain"
    assert book.expect(WorkClosed, job=job).ended is False
    book.forget().wait(3.0)
    assert {send.peer for send in book.take(Send) if isinstance(send.message, Facts)} == {ANNA}
    versions = tuple(book.machine.fold(job).versions.items())
    book.feed(StreamReceived(ANNA, FactsHeld(job, versions, ()))).forget().wait(5.0)
    assert book.take(Send) == []
    assert book.machine.next_deadline() is None


def test_an_owner_that_had_given_a_job_up_owns_it_again_when_it_is_reminded():
    book = begin(ANNA)
    mine = tuple(facts(*begun(owner=ME)))
    book.feed(StreamReceived(ANNA, Facts(mine[0].job, mine, (), replicate=True)))
    book.expect(WorkOpened)
    assert book.machine.owns(mine[0].job)


@pytest.mark.parametrize(
    ("sender", "epoch", "forgotten"), [(ANNA, 1, True), (BEN, 1, False), (ANNA, 0, False), (BEN, DELETED_EPOCH, True)]
)
def test_a_replica_forgets_what_its_only_owner_gave_up_or_anybody_deleted(sender: PeerId, epoch: int, forgotten: bool):
    book = begin(ANNA, BEN)
    theirs = tuple(facts(*begun(owner=ANNA)))
    book.feed(StreamReceived(ANNA, Facts(theirs[0].job, theirs, (), replicate=True)))
    book.feed(StreamReceived(sender, work.ForgetJob(theirs[0].job, fence(sender, epoch))))
    assert (book.machine.fold(theirs[0].job) is None) is forgotten


def test_a_replica_keeps_what_two_have_owned():
    book = begin(ANNA, BEN)
    theirs = [*facts(*begun(owner=ANNA)), *facts(Owner(fence(PeerId("0" * 64))), author=OTHER_AUTHOR)]
    book.feed(StreamReceived(ANNA, Facts(theirs[0].job, tuple(theirs), (), replicate=True)))
    book.feed(StreamReceived(ANNA, work.ForgetJob(theirs[0].job, fence(ANNA))))
    assert book.machine.fold(theirs[0].job) is not None


# restarts and what people see


def test_after_a_restart_open_jobs_are_handed_out_again_and_ended_ones_are_not():
    book, job = accepted_job(wanted=spec(frames="1-2"))
    commit(book, job, 1, 1)
    kept = persisted(book)
    again = begin(author="b" * 16, booted=Booted(tuple(kept), {}))
    assert again.expect(WorkOpened).steps == b"\x03\x00"
    fetch = again.expect(FetchBlobs)  # an owner looks whether it has the bytes still
    commit(again.feed(BlobsEnded(fetch.ticket, "")).forget(), job, 2, 1 << 32)
    kept += persisted(again)
    third = begin(author="c" * 16, booted=Booted(tuple(kept), {}))
    third.expect_no(WorkOpened).expect(WorkClosed, job=job)
    assert third.machine.view(job).state == "completed"


def test_states_are_published_at_once_and_counts_now_and_then():
    book, job = accepted_job()
    book.wait(5.0).forget()
    commit(book, job, 1, 1)
    commit(book, job, 2, 2)
    counts = [summary_from_bytes(publish.value).frames.done for publish in book.take(Publish) if publish.value]
    assert counts == [1], "it runs; the second frame is a mere count"
    book.wait(3.0)
    assert [summary_from_bytes(publish.value).frames.done for publish in book.take(Publish) if publish.value] == [2]


def test_a_warning_holds_the_job_until_the_client_accepts_it():
    book, job = accepted_job(wanted=spec(renderer="blender"), manifest=SCENE)
    book.feed(SceneInspected(job, attempt(1), ANNA, Inspection(warnings=(WOOD,))))
    assert book.take(WorkOpened)[-1].open_ is False
    assert book.machine.view(job).held_because[0].remedy == "send it"
    book.feed(ControlAsked(R, job, "accept", "missing_file"))
    assert book.take(WorkOpened)[-1].open_ is True


def test_progress_shows_and_an_idle_ledger_wants_no_deadline():
    book, job = accepted_job(wanted=spec(frames="1"))
    book.feed(WorkProgress(job, 1, 12.0, ()))
    assert (book.machine.view(job).state, book.machine.view(job).eta_s) == ("running", 12.0)
    commit(book, job, 1, 1)
    book.wait(10.0)
    assert book.machine.next_deadline() is None
    assert book.take(Notice, event="job_completed")


def test_two_owners_that_share_no_replica_meet_through_their_summaries():
    greater = PeerId("f" * 64)
    book, job = accepted_job(ANNA)
    book.feed(changed(greater)).forget()
    book.feed(SummaryChanged(job, job_view(job, owner=PeerId("0" * 64))))
    assert sent(book, Facts) == [], "a lesser one comes to us"
    book.feed(SummaryChanged(job, job_view(job, owner=greater)))
    assert len(sent(book, Facts, greater)) == 1
    book.wait(3.0)
    assert sent(book, Facts, greater), "until it has answered"
    theirs = facts(Owner(fence(greater)), author=OTHER_AUTHOR, job=job)
    versions = ((OTHER_AUTHOR, 1), *book.machine.fold(job).versions.items())
    book.feed(StreamReceived(greater, Facts(job, tuple(theirs), versions, replicate=False)))
    assert book.machine.fold(job).fence == fence(greater)
    assert not book.machine.owns(job)
    book.forget().wait(5.0)
    assert sent(book, Facts) == []
