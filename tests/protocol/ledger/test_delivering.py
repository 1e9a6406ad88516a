"""A job with a destination is over only when every done frame is delivered and swept."""

from __future__ import annotations

from random import Random

import pytest

from protocol import limits
from protocol.effects import Persist
from protocol.events import Booted, ControlAsked, StreamReceived
from protocol.ids import AuthorId, RequestId
from protocol.jobs.parcels import Placed
from protocol.kernel import Now
from protocol.ledger.delivering import delivered_facts, delivery_due, is_delivered, sweep_due, sweep_on
from protocol.ledger.facts import Closed, Delivered, FrameEnded, Retried
from protocol.ledger.fold import JobFold
from protocol.ledger.held import HeldJob
from protocol.ledger.ledger import Ledger
from protocol.records import PutFact
from protocol.signals import (
    DeliveryDue,
    DeliverySwept,
    DeliveryVoid,
    DeliveryWaits,
    FrameCommitted,
    FramesDelivered,
    SummaryChanged,
    WorkClosed,
)
from protocol.views import Reason
from protocol.wire.work import Facts
from tests.playbook import Playbook
from tests.protocol.making import ANNA, BEN, JOB, ME, attempt, begun, changed, done, ended, facts, job_view, output, spec

NOW = Now(1.0, 2_000)
WANTED = spec(frames="1-2", destination="farm:film", name="shot")


def fold_of(*bodies: object) -> JobFold:
    fold = JobFold(JOB)
    for fact in facts(*begun(WANTED), *bodies):  # type: ignore[arg-type]
        assert fold.add(fact)
    return fold


def held_of(*bodies: object) -> HeldJob:
    held = HeldJob(JOB)
    for fact in facts(*begun(WANTED), *bodies):  # type: ignore[arg-type]
        assert held.fold.add(fact)
    return held


def test_done_frames_are_due_until_they_are_delivered():
    held = held_of(ended(1, 1), ended(2, 2), Delivered("1", 0, (), ANNA, 1))
    [due] = delivery_due(held, (ME,))
    assert [one.frame for one, _ in due.ended] == [2]
    assert (due.root, due.folder, due.name, due.sweep) == ("farm", "film", "shot", False)
    assert not is_delivered(held.fold)
    held.fold.add(facts(Delivered("2", 0, (), ANNA, 1), first=8)[0])
    assert is_delivered(held.fold)
    assert delivery_due(held, (ME,)) == []


def test_facts_of_delivery_count_in_any_order_and_only_for_the_generation_that_won():
    early = JobFold(JOB)
    for fact in facts(Delivered("1-2", 0, ((1, "a.png"),), ANNA, 1), *begun(WANTED), ended(1, 1), ended(2, 2)):
        early.add(fact)
    assert (early.delivered, early.conflicts) == (2, {1: ("a.png",)})
    again = fold_of(ended(1, 1), Delivered("1", 0, (), ANNA, 1), Retried("1", 1, 1))
    assert (again.done, again.delivered) == (0, 0)
    again.add(facts(ended(1, 5, generation=1), first=8)[0])
    assert (again.done, again.delivered) == (1, 0)
    [due] = delivery_due_of(again)
    assert due.ended[0][1] == (output(1).pixel_hash,)  # what it may replace


def delivery_due_of(fold: JobFold) -> list[DeliveryDue]:
    held = HeldJob(JOB)
    held.fold = fold
    return delivery_due(held, (ME,))


def test_a_rival_of_the_same_generation_may_not_be_replaced():
    fold = fold_of(ended(1, 2, by=ANNA), ended(1, 1))
    [due] = delivery_due_of(fold)
    assert due.ended[0][1] == ()


def test_news_become_one_fact_for_each_generation():
    fold = fold_of(ended(1, 1), Retried("2", 1, 1), ended(2, 2, generation=1))
    placed = [Placed(1, 0, ("a.png",)), Placed(2, 1), Placed(9, 0)]
    assert delivered_facts(fold, placed, ANNA, NOW) == [
        Delivered("1", 0, ((1, "a.png"),), ANNA, 2_000),
        Delivered("2", 1, (), ANNA, 2_000),
    ]


def test_the_sweep_is_asked_for_once_until_it_is_done_or_frames_are_retried():
    held = held_of(ended(1, 1), ended(2, 2), Delivered("1-2", 0, (), ANNA, 1))
    [due] = sweep_due(held, (ME,)) or []
    assert (due.sweep, [one.frame for one, _ in due.ended]) == (True, [1, 2])
    assert sweep_due(held, (ME,)) == []
    assert sweep_on(held, (ME,)) == []
    assert sweep_due(held, (ME,)) is None


def test_a_sweep_tells_which_lower_generations_are_to_give_way():
    again = (Retried("2", 1, 1), ended(2, 5, generation=1), Delivered("2", 1, (), ANNA, 1))
    held = held_of(ended(1, 1), ended(2, 2), Delivered("1-2", 0, (), ANNA, 1), *again)
    [due] = sweep_due(held, (ME,)) or []
    assert [older for _, older in due.ended] == [(), (output(2).pixel_hash,)]


def swept(dues: list[DeliveryDue] | None) -> list[int]:
    return [one.frame for due in dues or () for one, _ in due.ended if due.sweep]


def test_a_long_job_is_swept_some_frames_at_a_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "SWEPT_AT_ONCE", 2)
    held = HeldJob(JOB)
    for fact in facts(*begun(spec(frames="-1-3", destination="farm:film")), *(ended(frame, frame + 2) for frame in range(-1, 4))):
        assert held.fold.add(fact)
    assert swept(sweep_due(held, (ME,))) == [-1, 0]
    assert swept(sweep_on(held, (ME,))) == [1, 2]
    assert sweep_due(held, (ME,)) == [], "it is under way"
    assert swept(sweep_on(held, (ME,))) == [3]
    assert sweep_on(held, (ME,)) == []
    assert sweep_due(held, (ME,)) is None
    assert held.fold.add(facts(Retried("1", 1, 1), first=10)[0])
    assert held.fold.add(facts(ended(1, 9, generation=1), first=11)[0])
    assert swept(sweep_due(held, (ME,))) == [-1, 0], "from the start, once a frame was wanted again"
    assert held.fold.add(facts(Retried("2", 1, 1), first=12)[0])
    assert sweep_on(held, (ME,)) == [], "and not to the end, when one is meanwhile"
    assert swept(sweep_due(held, (ME,))) == [-1, 0]


# with the ledger


@pytest.fixture
def book() -> Playbook:
    ledger = Ledger(me=ME, author=AuthorId("a" * 16), run_epoch=1, host="here", replicas=1, random=Random(1))
    return Playbook(ledger).feed(Booted(tuple(facts(*begun(WANTED))), {}))


def commit(frame: int) -> FrameCommitted:
    return FrameCommitted(JOB, frame, 0, attempt(frame), ME, done(frame))


def closed(book: Playbook) -> list[Closed]:
    records = [record for persist in book.take(Persist) for record in persist.records]
    bodies = [record.fact.body for record in records if isinstance(record, PutFact)]
    return [body for body in bodies if isinstance(body, Closed)]


def test_a_job_is_completed_only_when_it_is_delivered_and_swept(book: Playbook):
    book.feed(commit(1), commit(2))
    assert [one.frame for due in book.take(DeliveryDue) for one, _ in due.ended] == [1, 2]
    assert closed(book) == []
    book.feed(FramesDelivered(JOB, ANNA, (Placed(1, 0), Placed(2, 0))))
    assert closed(book) == []
    assert book.expect(DeliveryDue).sweep
    book.feed(DeliverySwept(JOB))
    assert [one.state for one in closed(book)] == ["completed"]


def test_a_job_is_completed_only_when_its_last_frames_are_swept(book: Playbook, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "SWEPT_AT_ONCE", 1)
    book.feed(commit(1), commit(2), FramesDelivered(JOB, ANNA, (Placed(1, 0), Placed(2, 0))))
    assert swept(book.take(DeliveryDue)) == [1]
    book.feed(DeliverySwept(JOB))
    assert (swept(book.take(DeliveryDue)), closed(book)) == ([2], [])
    book.feed(DeliverySwept(JOB))
    assert [one.state for one in closed(book)] == ["completed"]


def test_an_owner_that_raises_itself_sweeps_anew_since_its_delivery_has_forgotten_the_job(book: Playbook):
    reason = Reason("output_root_unreachable", "cut off", "it is tried again", ANNA)
    book.feed(commit(1), commit(2), FramesDelivered(JOB, ANNA, (Placed(1, 0), Placed(2, 0))))
    assert swept(book.take(DeliveryDue)) == [1, 2]
    book.feed(changed(BEN), DeliveryWaits(JOB, (reason,)), SummaryChanged(JOB, job_view(owner=BEN, epoch=2)))
    book.feed(changed(BEN, "dead")).wait(limits.ADOPT_S + limits.MERGE_S + 0.1)
    book.expect(WorkClosed, ended=False)
    assert swept(book.take(DeliveryDue)) == [1, 2]
    assert book.machine.view(JOB).waiting_because == ()
    book.feed(DeliverySwept(JOB))
    assert [one.state for one in closed(book)] == ["completed"]


def test_what_is_on_its_way_counts_no_more_once_another_owner_has_delivered_it(book: Playbook):
    book.feed(commit(1), commit(2))
    book.take(DeliveryDue)
    theirs = facts(Delivered("1", 0, (), ANNA, 1), author=AuthorId("b" * 16))
    book.feed(changed(ANNA), StreamReceived(ANNA, Facts(JOB, tuple(theirs), (), replicate=False)))
    void, due = [one for one in book.out if isinstance(one, DeliveryVoid | DeliveryDue)]
    assert isinstance(void, DeliveryVoid)
    assert isinstance(due, DeliveryDue)
    assert [one.frame for one, _ in due.ended] == [2]


def test_a_result_that_was_replaced_or_is_wanted_again_is_not_on_its_way_any_more(book: Playbook):
    book.feed(commit(1), commit(2))
    book.take(DeliveryDue)
    rival = FrameEnded(1, 0, attempt(1, ANNA, 0), ANNA, done(1, ANNA), 1)
    theirs = facts(rival, author=AuthorId("b" * 16))
    book.feed(changed(ANNA), StreamReceived(ANNA, Facts(JOB, tuple(theirs), (), replicate=False)))
    book.expect(DeliveryVoid)
    assert book.expect(DeliveryDue).ended[0][0] == rival
    book.forget().feed(ControlAsked(RequestId("r"), JOB, "retry", frames="2", include_done=True))
    book.expect(DeliveryVoid)
    assert [one.frame for one, _ in book.expect(DeliveryDue).ended] == [1]


def test_a_sweep_that_is_under_way_begins_anew_when_another_owner_has_delivered_too(book: Playbook):
    book.feed(commit(1), commit(2), FramesDelivered(JOB, ANNA, (Placed(1, 0), Placed(2, 0))))
    assert swept(book.take(DeliveryDue)) == [1, 2]
    theirs = facts(Delivered("1", 0, (), ANNA, 1), author=AuthorId("b" * 16))
    book.feed(StreamReceived(ANNA, Facts(JOB, tuple(theirs), (), replicate=False)))
    book.expect(DeliveryVoid)
    assert swept(book.take(DeliveryDue)) == [1, 2]
    book.feed(DeliverySwept(JOB))
    assert [one.state for one in closed(book)] == ["completed"]


def test_why_it_waits_is_shown(book: Playbook):
    reason = Reason("output_root_full", "no space", "make room", ANNA)
    book.feed(commit(1), DeliveryWaits(JOB, (reason,)))
    view = book.machine.view(JOB)
    assert view.waiting_because == (reason,)
    assert (view.destination, view.delivered) == ("farm:film", 0)


def test_a_start_asks_for_what_is_still_to_be_delivered():
    ledger = Ledger(me=ME, author=AuthorId("b" * 16), run_epoch=2, host="here", replicas=1, random=Random(1))
    remembered = facts(*begun(WANTED), ended(1, 1), ended(2, 2), Delivered("1", 0, (), ANNA, 1))
    book = Playbook(ledger).feed(Booted(tuple(remembered), {}))
    assert [one.frame for due in book.take(DeliveryDue) for one, _ in due.ended] == [2]
