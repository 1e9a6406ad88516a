"""Owners that die, drain, return and meet: a job passes from one to the next, and nothing is lost on the way."""

from __future__ import annotations

from random import Random

from protocol import limits
from protocol.effects import FetchBlobs, Notice, Persist, Reply
from protocol.errors import Unavailable
from protocol.events import BlobLost, BlobsEnded, Booted, ControlAsked, DrainAsked, StreamFailed, StreamReceived
from protocol.ids import AuthorId, PeerId, RequestId
from protocol.jobs.results import Failure, Inspection
from protocol.ledger.facts import Body, Closed, FrameEnded, Inspected, Owner, ReplicaSet, Retried
from protocol.ledger.ledger import DELETED_EPOCH, Ledger
from protocol.records import PutFact
from protocol.signals import FrameCommitted, MemberForgotten, Publish, Send, SummaryChanged, WorkClosed, WorkOpened
from protocol.summaries import summary_from_bytes
from protocol.wire import work
from protocol.wire.work import Facts, FactsHeld
from tests.playbook import Playbook
from tests.protocol.making import (
    ANNA,
    BEN,
    CARL,
    JOB,
    ME,
    WOOD,
    attempt,
    begun,
    card,
    changed,
    digest,
    done,
    ended,
    facts,
    fence,
    inspected,
    job_view,
    output,
    sent,
    spec,
)

R = RequestId("r")
THEIRS = AuthorId("0123456789abcdef")
MINE = AuthorId("a" * 16)


def begin(booted: Booted | None = None, *peers: PeerId) -> Playbook:
    ledger = Ledger(me=ME, author=MINE, run_epoch=1, host="here", replicas=3, random=Random(1))
    return Playbook(ledger).feed(booted or Booted((), {}), *(changed(one) for one in peers))


def kept_for(owner: PeerId, *replicas: PeerId, more: tuple[Body, ...] = ()) -> Playbook:
    """This peer keeps a job for `owner`, with `replicas`; everybody is there."""
    first = begun(owner=owner)
    told = facts(first[0], first[1], ReplicaSet(fence(owner), 2, (owner, *replicas)), first[3], *more)
    book = begin(None, ANNA, BEN, CARL)
    book.feed(StreamReceived(owner, Facts(JOB, tuple(told), ((THEIRS, len(told)),), replicate=True)))
    return book.forget()


def confirm(book: Playbook, peer: PeerId) -> Playbook:
    versions = tuple(book.machine.fold(JOB).versions.items())
    return book.feed(StreamReceived(peer, FactsHeld(JOB, versions, versions)))


def persisted(book: Playbook) -> list[Body]:
    puts = [record for effect in book.take(Persist) for record in effect.records if isinstance(record, PutFact)]
    return [put.fact.body for put in puts]


def taken_over() -> Playbook:
    """Anna is dead, and this peer has taken her job over; Ben has not confirmed it yet."""
    return kept_for(ANNA, ME, BEN, more=(ended(1, 1, by=ANNA),)).feed(changed(ANNA, "dead")).wait(limits.MERGE_S + 0.1)


# takeover


def test_a_replica_merges_takes_the_job_over_and_hands_out_what_is_not_done():
    book = kept_for(ANNA, ME, BEN, more=(ended(1, 1, by=ANNA),)).feed(changed(ANNA, "dead"))
    (asked,) = [message for message in sent(book, Facts, BEN) if not message.facts and not message.replicate]
    assert asked.versions == ((THEIRS, 5),)
    late = facts(ended(2, 2, by=ANNA), first=6)
    book.feed(StreamReceived(BEN, Facts(JOB, tuple(late), ((THEIRS, 6),), replicate=False)))
    book.wait(limits.MERGE_S + 0.1)
    assert Owner(fence(epoch=2)) in persisted(book)
    book.expect(Notice, event="job_taken_over")
    book.expect_no(WorkOpened).expect_no(Publish)
    confirm(book, BEN)
    opened = book.expect(WorkOpened)
    assert opened.fence == fence(epoch=2)
    assert opened.resumed, "workers may have frames in flight"
    assert list(opened.steps) == [3, 3, 0, 0]
    seen = [summary_from_bytes(one.value) for one in book.take(Publish) if one.value is not None]
    assert (seen[-1].owner, seen[-1].epoch) == (ME, 2)


def test_an_heir_whose_second_peer_never_answers_goes_on_after_a_while():
    taken_over().wait(limits.CLAIM_S + limits.LEDGER_ROUND_S).expect(WorkOpened)


def test_who_is_merely_suspected_is_not_taken_over():
    book = kept_for(ANNA, ME).feed(changed(ANNA, "suspect")).wait(60.0)
    assert persisted(book) == []


def test_a_client_may_steer_the_job_as_soon_as_it_is_taken_over_and_not_before():
    asked = ControlAsked(R, JOB, "pause")
    assert kept_for(ANNA, ME, BEN).feed(asked).expect(Reply).value.code == "owner_unreachable"
    book = confirm(taken_over(), BEN).forget().feed(asked)
    assert confirm(book, BEN).expect(Reply).value.state == "paused"


def test_a_job_that_had_ended_is_taken_over_as_ended():
    closed = Closed("completed", fence(ANNA), 0, 2000)
    book = kept_for(ANNA, ME, more=(*(ended(n, n, by=ANNA) for n in (1, 2, 3, 4)), closed))
    book.feed(changed(ANNA, "dead")).wait(limits.REPLICA_GRACE_S + limits.MERGE_S + 1)
    assert book.machine.view(JOB).state == "completed"
    assert book.machine.owns(JOB)
    book.expect_no(WorkOpened)


# two owners


def test_two_heirs_of_one_epoch_agree_on_the_higher_peer_whatever_comes_first():
    book = confirm(taken_over(), BEN).forget()
    rival = facts(Owner(fence(BEN, 2)), author=AuthorId("b" * 16))
    book.feed(StreamReceived(BEN, Facts(JOB, tuple(rival), (), replicate=True)))
    assert ME > BEN
    assert book.machine.owns(JOB)
    higher = PeerId("f" * 64)
    book.feed(changed(higher))
    more = facts(Owner(fence(higher, 2)), author=AuthorId("c" * 16))
    book.forget().feed(StreamReceived(higher, Facts(JOB, tuple(more), (), replicate=True)))
    assert not book.machine.owns(JOB)
    book.expect(WorkClosed, ended=False)
    book.expect(Notice, event="job_yielded")
    assert any(message.facts for message in sent(book, Facts, higher)), "it brings what it knows before it forgets about it"


def test_who_has_not_spoken_is_asked_for_bytes_that_were_looked_for_in_vain_and_gets_nothing_when_it_has_none():
    remembered = facts(*begun(), *(ended(frame, frame) for frame in (1, 2, 3, 4)), Closed("completed", fence(), 0, 2000))
    book = begin(Booted(tuple(remembered), {}), ANNA, BEN, CARL)
    for peer in (ANNA, BEN):
        book.feed(StreamReceived(peer, FactsHeld(JOB, ((remembered[0].author, 9),), ())))

    def fail() -> None:
        for fetch in book.take(FetchBlobs):
            book.feed(BlobsEnded(fetch.ticket, "nobody has it"))

    fail()
    assert not any(not message.replicate for message in sent(book, Facts, CARL))
    fail()
    book.forget().wait(limits.LEDGER_ROUND_S)
    fail()
    assert [message.replicate for message in sent(book, Facts, CARL)] == [False]
    assert not any(not message.replicate for message in [*sent(book, Facts, ANNA), *sent(book, Facts, BEN)])
    book.forget().feed(StreamReceived(CARL, FactsHeld(JOB, (), ())))
    assert sent(book, Facts, CARL) == [], "it holds nothing, and is not to"
    book.feed(StreamReceived(CARL, FactsHeld(JOB, ((remembered[0].author, 9),), ())))
    book.forget().wait(limits.LOST_WITHOUT_HOLDER_S)
    fail()
    assert {fetch.holders for fetch in book.take(FetchBlobs) if fetch.ticket.startswith("find-")} == {(ANNA, BEN, CARL)}


BROKEN = Inspected(attempt(1, ANNA, 2), ANNA, Inspection(error=Failure("crash", "died on opening")), 1000)


def failed_here(*more: Body) -> Playbook:
    """This peer has taken Anna's job over, could not look at the scene, and has closed the job as failed."""
    first = begun(owner=ANNA)
    owner: list[Body] = [Owner(fence(ME, 2)), BROKEN, Closed("failed", fence(ME, 2), 0, 2000)]
    remembered = [*facts(first[0], first[1], author=THEIRS), *facts(*owner, author=MINE)]
    return begin(Booted(tuple(remembered), {}), ANNA).forget()


def test_a_job_that_failed_goes_on_when_the_facts_of_another_owner_give_no_reason_for_it():
    book = failed_here()
    assert book.machine.view(JOB).state == "failed"
    theirs = facts(inspected(), *(ended(frame, frame, by=ANNA) for frame in (1, 2, 3)), author=THEIRS, first=3)
    book.feed(StreamReceived(ANNA, Facts(JOB, tuple(theirs[:2]), ((THEIRS, 6),), replicate=True)))
    assert book.machine.view(JOB).state == "failed", "more is to come"
    book.feed(StreamReceived(ANNA, Facts(JOB, tuple(theirs[2:]), ((THEIRS, 6),), replicate=True)))
    assert Owner(fence(ME, 3)) in persisted(book)
    assert book.expect(Notice, event="job_reopened").fields["epoch"] == 3
    confirm(book, ANNA)
    book.expect(WorkOpened)
    assert book.machine.view(JOB).state == "running"
    book.feed(FrameCommitted(JOB, 4, 0, attempt(9, ME, 3), ANNA, done(4, ANNA)))
    while fetches := book.take(FetchBlobs):
        book.feed(*(BlobsEnded(fetch.ticket, "") for fetch in fetches))
    confirm(book, ANNA)
    assert book.machine.view(JOB).state == "completed"


def test_a_job_that_failed_stays_so_while_there_is_a_reason():
    book = failed_here()
    theirs = facts(ReplicaSet(fence(ANNA), 2, (ANNA, ME)), author=THEIRS, first=3)
    book.feed(StreamReceived(ANNA, Facts(JOB, tuple(theirs), ((THEIRS, 3),), replicate=True)))
    assert book.machine.view(JOB).state == "failed"
    assert not any(isinstance(body, Owner) for body in persisted(book))


def test_a_job_that_failed_for_a_warning_goes_on_when_that_is_accepted():
    first = begun(spec(on_warning="fail"))
    remembered = facts(*first[:3], inspected(Inspection(warnings=(WOOD,))), Closed("failed", fence(), 0, 2000))
    book = begin(Booted(tuple(remembered), {})).forget()
    assert book.machine.view(JOB).state == "failed"
    book.feed(ControlAsked(R, JOB, "accept", WOOD.code))
    book.expect(Notice, event="job_reopened")
    book.expect(WorkOpened)
    assert book.expect(Reply, request=R).value.state == "queued"


def test_who_steps_down_refuses_what_it_has_promised():
    book = confirm(taken_over(), BEN).forget().feed(ControlAsked(R, JOB, "pause"))
    more = facts(Owner(fence(CARL, 3)), author=AuthorId("c" * 16))
    book.feed(StreamReceived(CARL, Facts(JOB, tuple(more), (), replicate=True)))
    refusal = book.expect(Reply).value
    assert isinstance(refusal, Unavailable)
    assert refusal.code == "owner_elsewhere"


def test_facts_of_an_owner_that_was_overtaken_are_kept_at_any_epoch():
    book = confirm(taken_over(), BEN).forget()
    late = facts(ended(3, 7, by=ANNA), first=6)
    book.feed(StreamReceived(ANNA, Facts(JOB, tuple(late), ((THEIRS, 6),), replicate=True)))
    assert book.machine.fold(JOB).is_done(3)
    book.expect(Notice, event="late_facts")
    assert list(book.take(WorkOpened)[-1].steps) == [3, 0, 3, 0]


def test_the_same_frame_committed_by_two_owners_has_one_winner_in_any_order():
    ours = FrameEnded(2, 0, attempt(1, ME, 2), ME, done(2), 9000)
    theirs = ended(2, 5, by=ANNA)
    books = [confirm(taken_over(), BEN), confirm(taken_over(), BEN)]
    commit = FrameCommitted(JOB, 2, 0, ours.attempt, ME, ours.result)
    told = StreamReceived(ANNA, Facts(JOB, tuple(facts(theirs, first=6)), ((THEIRS, 6),), replicate=True))
    books[0].feed(commit, told)
    books[1].feed(told, commit)
    assert [book.machine.fold(JOB).winners[2].peer for book in books] == [ANNA, ANNA], "the lower attempt"
    changes = [[notice.fields for notice in book.take(Notice) if notice.event == "winner_changed"] for book in books]
    assert [[(one["frame"], one["from"], one["to"]) for one in told] for told in changes] == [[(2, ME, ANNA)], []]


def test_an_owner_that_starts_again_listens_before_it_hands_out_and_yields_to_its_heir():
    first = begun()
    told = facts(first[0], first[1], ReplicaSet(fence(), 2, (ME, ANNA)), first[3])
    book = begin(Booted(tuple(told), {}), ANNA)
    book.expect_no(WorkOpened)
    assert [one.value is not None for one in book.take(Publish)] == [True], "it is in view at once"
    taken = facts(Owner(fence(ANNA, 2)), author=AuthorId("c" * 16))
    book.feed(StreamReceived(ANNA, Facts(JOB, tuple(taken), (), replicate=True))).wait(10.0)
    book.expect_no(WorkOpened)
    assert not book.machine.owns(JOB)
    lonely = begin(Booted(tuple(told), {})).wait(limits.BOOT_HEAR_S + limits.LEDGER_ROUND_S)
    assert lonely.expect(WorkOpened).resumed


def test_who_yields_stays_in_view_until_the_heir_is_there():
    book = confirm(taken_over(), BEN)
    book.forget()
    more = facts(Owner(fence(CARL, 3)), author=AuthorId("c" * 16))
    book.feed(StreamReceived(CARL, Facts(JOB, tuple(more), (), replicate=True))).expect_no(Publish)
    book.feed(SummaryChanged(JOB, job_view(owner=CARL, epoch=3)))
    assert book.expect(Publish).value is None


# hand-over


def test_a_replica_takes_over_from_an_owner_that_drains():
    book = kept_for(ANNA, ME, BEN).feed(changed(ANNA, with_card=card(draining=True)))
    book.wait(limits.HANDOVER_WAIT_S + limits.MERGE_S + 0.1)
    book.expect(Notice, event="job_handed_over")
    assert sent(book, Facts, ANNA), "it is there, and is told"


def test_a_leaving_peer_says_what_it_alone_holds():
    book = begin(Booted(tuple(facts(*begun())), {}))
    assert book.machine.held_alone() == [JOB]
    assert book.feed(DrainAsked(leave=True)).expect(Notice, event="left_unsafe").fields["jobs"] == [JOB]
    assert not book.machine.waits_for_heirs(), "there is nobody"
    assert book.feed(changed(ANNA)).machine.waits_for_heirs()
    safe = kept_for(ANNA, ME, BEN)
    assert safe.machine.held_alone() == []
    safe.feed(DrainAsked(leave=True)).expect_no(Notice, event="left_unsafe")


# anti-entropy


def test_a_replica_asks_an_owner_that_has_come_back_what_it_holds_and_brings_what_it_lacks():
    book = kept_for(ANNA, ME, BEN).feed(changed(ANNA, run_epoch=2))
    (asked,) = sent(book, Facts, ANNA)
    assert asked.facts == ()
    book.feed(StreamReceived(ANNA, FactsHeld(JOB, ((THEIRS, 2),), ())))
    assert [fact.seq for message in sent(book, Facts, ANNA) for fact in message.facts] == [3, 4]


def test_a_question_is_answered_with_what_is_held_and_what_is_missing_there():
    book = kept_for(ANNA, ME, BEN).feed(StreamReceived(CARL, Facts(JOB, (), ((THEIRS, 3),), replicate=False)))
    assert sent(book, FactsHeld, CARL)[0].versions == ((THEIRS, 4),)
    assert [fact.seq for fact in sent(book, Facts, CARL)[0].facts] == [4]
    book.expect_no(Persist)


def test_a_question_about_an_unknown_job_is_answered_and_leaves_nothing():
    book = begin(None, ANNA).feed(StreamReceived(ANNA, Facts(JOB, (), ((THEIRS, 3),), replicate=False)))
    assert sent(book, FactsHeld, ANNA) == [FactsHeld(JOB, (), ())]
    assert book.machine._jobs == {}


def test_an_owner_asks_a_peer_that_knows_more_until_it_knows_it_too():
    book = begin(Booted(tuple(facts(*begun())), {}), ANNA).forget()
    book.feed(StreamReceived(ANNA, FactsHeld(JOB, ((THEIRS, 4), (AuthorId("b" * 16), 1)), ()))).wait(limits.LEDGER_ROUND_S)
    assert sent(book, Facts, ANNA)
    more = facts(ended(1, 1, by=ANNA), author=AuthorId("b" * 16))
    book.feed(StreamReceived(ANNA, Facts(JOB, tuple(more), (), replicate=False)))
    assert book.machine.fold(JOB).is_done(1)


def test_a_job_that_was_never_acknowledged_does_not_come_back_through_its_replica():
    book = begin(None, ANNA)
    book.machine._given_up[JOB] = fence()
    book.feed(StreamReceived(ANNA, Facts(JOB, (), ((THEIRS, 3),), replicate=False)))
    assert sent(book, work.ForgetJob, ANNA) == [work.ForgetJob(JOB, fence())]
    assert [type(one) for one in book.out if isinstance(one, Send)] == [Send], "and what is held, should the other know better"


# bytes that nobody has any more


def nobody_has_it(book: Playbook) -> None:
    for fetch in book.take(FetchBlobs):
        assert fetch.items == ((output(1, ANNA).digest, 100),)
        book.feed(BlobsEnded(fetch.ticket, "nobody has it"))


def lost_frame() -> Playbook:
    """Anna died for good with the only copy of frame 1; this peer has taken her job over and looks for it."""
    first = begun(owner=ANNA)
    together = ReplicaSet(fence(ANNA), 2, (ANNA, ME, BEN))
    told = facts(*first[:2], together, first[3], ended(1, 1, by=ANNA), author=THEIRS)
    book = begin(None, ANNA, BEN)
    book.feed(StreamReceived(ANNA, Facts(JOB, tuple(told), ((THEIRS, len(told)),), replicate=True)))
    book.feed(changed(ANNA, "dead")).wait(limits.MERGE_S + 0.1)
    nobody_has_it(book)
    versions = tuple(book.machine.fold(JOB).versions.items())
    return book.feed(StreamReceived(BEN, FactsHeld(JOB, versions, ())))


def test_a_frame_whose_only_holder_is_gone_for_good_is_rendered_again():
    book = lost_frame()
    assert book.take(WorkOpened)[-1].steps[:1] == b"\x03"
    for _ in range(int(limits.LOST_WITHOUT_HOLDER_S) + 4):
        nobody_has_it(book)
        book.wait(1.0)
    again = [body for body in persisted(book) if isinstance(body, Retried)]
    assert [(body.frames, body.generation) for body in again] == [("1", 1)]
    assert book.expect(Notice, event="frames_lost").fields["frames"] == "1"
    assert book.take(WorkOpened)[-1].steps[:1] == b"\x00"
    assert all(fetch.ticket.startswith("extra-") for fetch in book.wait(2.0).take(FetchBlobs)), "what lost is only welcome"
    book.wait(5.0).expect_no(FetchBlobs)


def test_a_holder_that_comes_back_in_time_saves_its_frame():
    book = lost_frame().wait(2.0)
    for _ in range(40):
        for fetch in book.take(FetchBlobs):
            book.feed(BlobsEnded(fetch.ticket, ""))
        book.wait(1.0)
    assert not [body for body in persisted(book) if isinstance(body, Retried)]


def test_a_replica_with_a_damaged_blob_takes_its_word_back():
    first = begun(owner=ANNA)
    book = begin(None, ANNA, BEN)
    told = facts(*first, ended(1, 1, by=ANNA))
    book.feed(StreamReceived(ANNA, Facts(JOB, tuple(told), ((told[0].author, len(told)),), replicate=True)))
    book.feed(BlobsEnded(book.expect(FetchBlobs).ticket, ""))
    assert sent(book, FactsHeld, ANNA)[-1].safe == ((told[0].author, len(told)),)
    book.forget().feed(BlobLost(output(1, ANNA).digest))
    assert [one.safe for one in sent(book, FactsHeld, ANNA)] == [(), ((told[0].author, 1),)], "the job has no scene to look at"
    assert book.expect(FetchBlobs).items == ((output(1, ANNA).digest, 100),)
    book.feed(BlobLost(digest("of no job"))).forget()


def test_an_owner_that_has_not_heard_of_the_damage_is_told_again_once_it_is_there():
    first = begun(owner=ANNA)
    told = facts(*first, ended(1, 1, by=ANNA))
    book = begin(None, ANNA, BEN).feed(StreamReceived(ANNA, Facts(JOB, tuple(told), ((THEIRS, len(told)),), replicate=True)))
    book.feed(BlobsEnded(book.expect(FetchBlobs).ticket, "")).forget().feed(BlobLost(output(1, ANNA).digest))
    taken_back = sent(book, FactsHeld, ANNA)[-1]
    assert taken_back.safe == ((THEIRS, 1),), "the job, and not its result"
    book.feed(BlobsEnded(book.expect(FetchBlobs).ticket, "nobody has it"))
    book.feed(changed(ANNA, "dead"), StreamFailed(ANNA, taken_back, refused=False)).wait(limits.LEDGER_ROUND_S / 2 + 0.2)
    assert sent(book, FactsHeld) == [], "there is nobody to tell"
    book.feed(changed(ANNA, "alive"))
    assert sent(book, FactsHeld, ANNA) == [taken_back]
    book.feed(StreamFailed(ANNA, taken_back, refused=False))
    assert sent(book, FactsHeld, ANNA) == [], "not at once: the way there may be cut"
    assert sent(book.wait(limits.LEDGER_ROUND_S / 2 + 0.2), FactsHeld, ANNA) == [taken_back]
    assert sent(book.wait(limits.LEDGER_ROUND_S), FactsHeld, ANNA) == []


def test_a_peer_that_membership_has_forgotten_is_kept_while_a_job_names_it_and_no_longer():
    book = begin(None, ANNA, BEN)
    told = facts(*begun(owner=ANNA))
    book.feed(StreamReceived(ANNA, Facts(JOB, tuple(told), ((THEIRS, len(told)),), replicate=True)))
    confirm(book, BEN)
    book.feed(changed(ANNA, "dead"), changed(BEN, "dead"), MemberForgotten(ANNA), MemberForgotten(BEN))
    known, job = book.machine._replicas, book.machine._jobs[JOB]
    assert (known.is_known(ANNA), known.is_known(BEN)) == (True, False)
    assert list(job.copies.by_peer) == []
    book.feed(StreamReceived(BEN, work.ForgetJob(JOB, fence(BEN, DELETED_EPOCH))))
    assert book.machine.fold(JOB) is None
    assert len(known) == 1
