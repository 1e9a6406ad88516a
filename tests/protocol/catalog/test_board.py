from __future__ import annotations

from random import Random
from typing import Any

from protocol import limits
from protocol.catalog.board import Board
from protocol.effects import Reply
from protocol.errors import NotFound
from protocol.events import LocateAsked, StreamReceived
from protocol.ids import JobId, PeerId, RequestId
from protocol.signals import CatalogChanged, SummaryChanged
from protocol.summaries import job_key, summary_to_bytes
from protocol.views import JobView
from protocol.wire.work import JobAnswer, JobQuery
from tests.playbook import Playbook
from tests.protocol.making import ANNA, BEN, JOB, ME, changed, job_view, sent

R = RequestId("r")
OTHER = JobId("abcd" * 8)


def begin(*peers: PeerId) -> Playbook:
    return Playbook(Board(me=ME, random=Random(1))).feed(*(changed(one) for one in peers))


def said(view: JobView, writer: PeerId | None = None) -> CatalogChanged:
    return CatalogChanged(writer or view.owner, job_key(view.id), summary_to_bytes(view))


def test_the_greatest_owner_speaks_for_a_job():
    book = begin().feed(said(job_view(owner=BEN)), said(job_view(owner=ANNA)))
    assert book.machine.view(JOB).owner == BEN
    book.feed(said(job_view(owner=ANNA, epoch=2)))
    assert book.machine.view(JOB).owner == ANNA
    book.feed(CatalogChanged(ANNA, job_key(JOB), None), CatalogChanged(BEN, job_key(JOB), None))
    assert book.take(SummaryChanged)[-1].view is None
    assert book.machine.views() == []


def test_a_summary_that_cannot_be_read_changes_nothing():
    book = begin().feed(said(job_view())).forget()
    book.feed(CatalogChanged(ANNA, job_key(JOB), b"garbage")).expect_no(SummaryChanged)
    assert book.machine.view(JOB) is not None


def test_other_records_are_no_jobs():
    assert begin().feed(CatalogChanged(ANNA, "card", b"x")).machine.views() == []


def test_jobs_are_found_by_id_by_the_beginning_of_it_and_by_name():
    book = begin().feed(said(job_view()), said(job_view(OTHER, name="walk", submitted_ms=9000)))
    find: Any = book.machine.matches
    assert [view.id for view in find(JOB)] == [JOB]
    assert [view.id for view in find("abcd")] == [OTHER]
    assert [view.id for view in find("walk")] == [OTHER]
    assert find("ab") == [], "too short to mean anything"
    assert [view.id for view in book.machine.views()] == [OTHER, JOB], "the newest first"


def test_a_job_that_is_known_is_located_at_once():
    book = begin(ANNA).feed(said(job_view()), LocateAsked(R, JOB))
    assert book.expect(Reply).value.id == JOB
    assert sent(book, JobQuery) == []


def test_the_others_are_asked_about_an_unknown_job_and_the_first_answer_counts():
    book = begin(ANNA, BEN).feed(LocateAsked(R, JOB))
    (ask, _) = sent(book, JobQuery)
    book.feed(StreamReceived(ANNA, JobAnswer(ask.ask, ()))).expect_no(Reply)
    book.feed(StreamReceived(BEN, JobAnswer(ask.ask, (b"garbage", summary_to_bytes(job_view())))))
    assert book.expect(Reply).value.id == JOB
    assert book.machine.next_deadline() is None


def test_when_nobody_knows_it_or_nobody_answers_in_time_there_is_no_such_job():
    book = begin(ANNA, BEN).feed(LocateAsked(R, JOB))
    (ask, _) = sent(book, JobQuery)
    book.feed(StreamReceived(ANNA, JobAnswer(ask.ask, ()))).wait(limits.LOCATE_S - 0.01).expect_no(Reply)
    assert isinstance(book.wait(0.02).expect(Reply).value, NotFound)
    assert isinstance(begin().feed(LocateAsked(R, JOB)).expect(Reply).value, NotFound)


def test_a_stranger_cannot_answer():
    book = begin(ANNA).feed(LocateAsked(R, JOB))
    (ask,) = sent(book, JobQuery)
    book.feed(StreamReceived(BEN, JobAnswer(ask.ask, (summary_to_bytes(job_view()),)))).expect_no(Reply)


def test_questions_are_answered_with_what_is_known():
    book = begin(ANNA).feed(said(job_view()), StreamReceived(ANNA, JobQuery(7, "job")))
    (answer,) = sent(book, JobAnswer, ANNA)
    assert (answer.ask, len(answer.summaries)) == (7, 1)
