"""A key, or a job, that others know: asked for a short while, answered once, and two that ask at once do not both win."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocol import limits
from protocol.effects import Notice, Reply
from protocol.errors import Conflict, Unavailable
from protocol.events import StreamFailed, StreamReceived, SubmitAsked
from protocol.ids import JobId, PeerId, RequestId
from protocol.jobs.identity import canonical, job_id, key_hash
from protocol.jobs.manifest import EMPTY
from protocol.kernel import Now
from protocol.ledger.inquiry import Inquiries, Known
from protocol.signals import Send, SummaryChanged
from protocol.summaries import summary_from_bytes, summary_to_bytes
from protocol.views import Submitted
from protocol.wire.work import SubmissionAnswer, SubmissionQuery
from tests.playbook import Playbook
from tests.protocol.making import ANNA, BEN, ME, changed, job_view, spec

OTHER = JobId("cd" * 16)
ASKED = SubmitAsked(RequestId("r"), spec(), EMPTY, "client", "key", named=True)
THIS = job_id(submitter="client", key="key", spec_json=canonical(spec()), scene=EMPTY.digest())
NOTHING = Known(None, deleted=False, holds=False, view=None)


class Ledger:
    """Knows what it is told, and notes what it is handed."""

    def __init__(self) -> None:
        self.knows = NOTHING
        self.handed: list[SubmitAsked] = []

    def known(self, submitter: str, key: str, job: JobId) -> Known:
        assert (submitter, key) == ("client", "key")
        return self.knows

    def submit(self, asked: SubmitAsked, now: Now) -> list[Any]:
        self.handed.append(asked)
        return []


def begin(*peers: PeerId, me: PeerId = ME) -> tuple[Playbook, Ledger]:
    ledger = Ledger()
    return Playbook(Inquiries(me=me, ledger=ledger)).feed(*(changed(peer) for peer in peers)), ledger


def queries(book: Playbook) -> dict[PeerId, SubmissionQuery]:
    return {send.peer: send.message for send in book.take(Send) if isinstance(send.message, SubmissionQuery)}


def answer(book: Playbook, peer: PeerId, verdict: Any, job: JobId | None = None, summary: bytes | None = None) -> Playbook:
    """To the first question."""
    return book.feed(StreamReceived(peer, SubmissionAnswer(1, verdict, job, summary)))


def said(book: Playbook, query: SubmissionQuery, sender: PeerId = ANNA) -> SubmissionAnswer:
    book.forget().feed(StreamReceived(sender, query))
    message = book.expect(Send).message
    assert isinstance(message, SubmissionAnswer)
    return message


# asking


def test_a_key_that_was_drawn_here_is_nobody_elses_and_nobody_is_asked():
    book, ledger = begin(ANNA)
    book.feed(replace(ASKED, named=False))
    assert queries(book) == {}
    assert ledger.handed == [], "the ledger takes it itself"


def test_where_nobody_else_is_there_the_ledger_takes_it_at_once():
    book, ledger = begin()
    book.feed(ASKED)
    assert ledger.handed == [ASKED]


def test_when_nobody_knows_it_the_ledger_takes_it_after_the_last_answer():
    book, ledger = begin(ANNA, BEN)
    book.feed(ASKED)
    assert {peer: (one.submitter, one.key, one.job) for peer, one in queries(book).items()} == {
        ANNA: ("client", "key", THIS), BEN: ("client", "key", THIS),
    }  # fmt: skip
    answer(book, ANNA, "unknown")
    assert ledger.handed == []
    answer(book, BEN, "unknown")
    assert ledger.handed == [ASKED]
    assert book.machine.next_deadline() is None


def test_nobody_is_waited_for_longer_than_a_moment():
    book, ledger = begin(ANNA, BEN)
    book.feed(ASKED)
    answer(book, ANNA, "unknown")
    book.wait(limits.INQUIRY_S)
    assert ledger.handed == [ASKED]
    answer(book, BEN, "other", OTHER)
    book.expect_no(Reply)
    assert ledger.handed == [ASKED], "what comes late changes nothing"


def test_a_peer_that_cannot_be_reached_has_nothing_to_say():
    book, ledger = begin(ANNA)
    book.feed(ASKED)
    book.feed(StreamFailed(ANNA, queries(book)[ANNA], refused=True))
    assert ledger.handed == [ASKED]


def test_one_who_knows_the_key_with_another_job_is_enough():
    book, ledger = begin(ANNA, BEN)
    book.feed(ASKED)
    answer(book, BEN, "other", OTHER)
    refused = book.expect(Reply).value
    assert isinstance(refused, Conflict)
    assert refused.code == "key_reused"
    assert OTHER in refused.message
    answer(book, ANNA, "unknown")
    assert ledger.handed == []


def test_a_job_that_was_deleted_elsewhere_is_not_made_again():
    book, _ = begin(ANNA)
    answer(book.feed(ASKED), ANNA, "deleted", THIS)
    assert book.expect(Reply).value.code == "job_deleted"


@pytest.mark.parametrize(("copies", "is_passed_on"), [(2, True), (1, False)])
def test_the_same_submission_finds_the_first_once_that_is_safe(copies: int, is_passed_on: bool):
    book, ledger = begin(ANNA)
    seen = replace(job_view(), id=THIS, owner=BEN, copies=copies)
    answer(book.feed(ASKED), ANNA, "same", THIS, summary_to_bytes(seen))
    value = book.expect(Reply).value
    if is_passed_on:
        assert value == Submitted(seen, 2, created=False)
    else:
        assert isinstance(value, Unavailable)
        assert (value.code, value.retry_after_s) == ("owner_elsewhere", 1)
    assert ledger.handed == []


@pytest.mark.parametrize("summary", [None, b"garbage"])
def test_a_job_that_nobody_has_given_a_word_on_is_tried_again_soon(summary: bytes | None):
    book, _ = begin(ANNA)
    answer(book.feed(ASKED), ANNA, "same", THIS, summary)
    assert book.expect(Reply).value.code == "owner_elsewhere"


def test_who_was_not_asked_is_not_believed():
    book, _ = begin(ANNA)
    book.feed(ASKED)
    book.feed(StreamReceived(BEN, SubmissionAnswer(1, "other", OTHER, None)))
    book.feed(StreamReceived(ANNA, SubmissionAnswer(99, "other", OTHER, None)))
    book.expect_no(Reply)


@pytest.mark.parametrize(
    "knows",
    [
        replace(NOTHING, key_job=THIS),
        replace(NOTHING, key_job=OTHER),
        replace(NOTHING, deleted=True),
        replace(NOTHING, view=job_view()),
    ],
)
def test_what_is_known_here_needs_no_question(knows: Known):
    book, ledger = begin(ANNA)
    ledger.knows = knows
    book.feed(ASKED)
    assert ledger.handed == [ASKED]


def test_the_likeliest_holders_are_asked_and_not_the_whole_mesh():
    many = [PeerId(f"{number:064x}") for number in range(100)]
    book, _ = begin(*many)
    assert len(queries(book.feed(ASKED))) == limits.INQUIRY_PEERS_MAX


def test_who_is_gone_is_not_asked():
    book, _ = begin(ANNA, BEN)
    book.feed(changed(BEN, "dead"), ASKED)
    assert list(queries(book)) == [ANNA]


# answering


QUERY = SubmissionQuery(7, "client", "key", THIS)


@pytest.mark.parametrize(
    ("knows", "verdict", "job"),
    [
        (NOTHING, "unknown", None),
        (replace(NOTHING, deleted=True, key_job=THIS), "deleted", THIS),
        (replace(NOTHING, key_job=OTHER), "other", OTHER),
        (replace(NOTHING, key_job=THIS, holds=True), "same", THIS),
    ],
)
def test_it_says_what_the_ledger_knows(knows: Known, verdict: str, job: JobId | None):
    book, ledger = begin(ANNA)
    ledger.knows = knows
    assert said(book, QUERY) == SubmissionAnswer(7, verdict, job, None)  # type: ignore[arg-type]


def test_the_owners_word_goes_with_it_where_it_is_known():
    book, ledger = begin(ANNA)
    ledger.knows = replace(NOTHING, key_job=THIS, holds=True, view=job_view())
    summary = said(book, QUERY).summary
    assert summary is not None
    assert summary_from_bytes(summary) == job_view()


LOW, HIGH = PeerId("0" * 64), PeerId("f" * 64)


@pytest.mark.parametrize("job", [THIS, OTHER])
def test_of_two_that_ask_at_once_the_lesser_id_goes_first(job: JobId):
    book, ledger = begin(HIGH, me=LOW)
    book.feed(ASKED)
    assert said(book, replace(QUERY, job=job), HIGH) == SubmissionAnswer(7, "busy", None, None)
    answer(book, HIGH, "unknown")
    assert ledger.handed == [ASKED]


@pytest.mark.parametrize("job", [THIS, OTHER])
def test_the_greater_id_stands_back_whatever_it_has_been_told_before(job: JobId):
    """It was told by the lesser one that nothing is known, a moment before that one began to ask itself."""
    book, ledger = begin(LOW, BEN, me=HIGH)
    book.feed(ASKED)
    answer(book, LOW, "unknown")
    book.feed(StreamReceived(LOW, replace(QUERY, job=job)))
    refused = book.expect(Reply).value
    assert isinstance(refused, Unavailable)
    assert (refused.code, refused.retry_after_s) == ("key_busy", 1)
    answer(book, BEN, "unknown").wait(limits.INQUIRY_S)
    assert ledger.handed == []


def test_who_is_told_that_somebody_else_is_at_it_tries_again_later():
    book, ledger = begin(ANNA)
    answer(book.feed(ASKED), ANNA, "busy")
    assert book.expect(Reply).value.code == "key_busy"
    assert ledger.handed == []


# what is heard of jobs of others


def heard(job: JobId, key: str = "key") -> SummaryChanged:
    return SummaryChanged(job, replace(job_view(), id=job, key=key_hash("client", key)))


def test_a_job_that_was_only_heard_of_has_its_key_too():
    book, ledger = begin()
    book.feed(heard(OTHER), ASKED)
    assert book.expect(Reply).value.code == "key_reused"
    assert said(book, QUERY).verdict == "other"
    book.forget().feed(SummaryChanged(OTHER, None), ASKED)
    assert ledger.handed == [ASKED], "it was deleted"


def test_the_very_job_is_no_conflict_and_neither_is_one_without_a_key():
    book, ledger = begin()
    book.feed(heard(THIS), SummaryChanged(OTHER, replace(job_view(), id=OTHER)), ASKED)
    assert ledger.handed == [ASKED]


def test_two_jobs_of_one_key_are_said_aloud_once():
    book, _ = begin()
    book.feed(heard(OTHER), heard(THIS), heard(THIS), heard(JobId("ef" * 16), "another key"))
    assert book.expect(Notice) == Notice("key_used_twice", "warning", THIS, {"other": OTHER})


def test_two_jobs_of_one_key_are_marked_with_each_other_until_one_is_forgotten():
    book, _ = begin()
    this, other = (replace(job_view(), id=job, key=key_hash("client", "key")) for job in (THIS, OTHER))
    book.feed(heard(THIS))
    assert book.machine.marked(this).same_key == ()
    book.feed(heard(OTHER))
    assert (book.machine.marked(this).same_key, book.machine.marked(other).same_key) == ((OTHER,), (THIS,))
    assert book.machine.marked(replace(this, key="")).same_key == ()
    book.feed(SummaryChanged(OTHER, None))
    assert book.machine.marked(this).same_key == ()
