from __future__ import annotations

from typing import Any

from protocol import limits
from protocol.audit.witness import Witness
from protocol.effects import FetchBlobs, Persist, PinBlobs, Render, Verify
from protocol.events import BlobsEnded, DrainAsked, FrameRendered, FrameVerified, StreamReceived, UndrainAsked
from protocol.ids import TaskId
from protocol.jobs.results import FrameResult
from protocol.wire.work import Audit, Audited, Lease
from tests.playbook import Playbook
from tests.protocol.making import ANNA, BEN, CRITICAL, ME, SCENE, card, changed, done, failed, lease, sent


def site(**fields: Any) -> Playbook:
    book = Playbook(Witness(me=ME, slots=2, run_epoch=1))
    return book.feed(changed(ME, with_card=card(**fields)))


def asked(book: Playbook, given: Lease | None = None) -> Lease:
    wanted = lease(7) if given is None else given
    book.feed(StreamReceived(ANNA, Audit(wanted)))
    return wanted


def test_a_frame_is_rendered_verified_and_told_and_nothing_of_it_is_kept() -> None:
    book = site()
    given = asked(book)
    render = book.expect(Render)
    assert (render.job, render.frame) == (given.job, 7)
    book.feed(FrameRendered(render.task, FrameResult((), None, 1.0)))
    verify = book.expect(Verify)
    assert verify == Verify(render.task, given.job, keep=False)
    result = done(7)
    book.feed(FrameVerified(render.task, FrameResult(result.outputs, None, 1.0, "cpu", result.outputs[0].digest, 9)))
    assert sent(book, Audited, ANNA) == [Audited(given.job, given.attempts[0], result)]
    book.expect_no(Persist).expect_no(PinBlobs)
    assert book.machine.under_way == 0


def test_the_scene_comes_first_into_the_cache() -> None:
    book = site()
    asked(book, lease(7, manifest=SCENE))
    fetch = book.expect(FetchBlobs)
    assert (fetch.pin_for, fetch.holders) == (None, (ANNA,))
    book.expect_no(Render)
    book.feed(BlobsEnded(fetch.ticket, ""))
    book.expect(Render)


def test_whatever_fails_is_told_as_not_being_able_to_tell() -> None:
    book = site()
    given = asked(book, lease(7, manifest=SCENE))
    book.feed(BlobsEnded(book.expect(FetchBlobs).ticket, "nobody has it"))
    asked(book)
    book.feed(FrameRendered(book.expect(Render).task, failed("crash")))
    answers = sent(book, Audited, ANNA)
    assert [one.attempt for one in answers] == [given.attempts[0]] * 2
    assert all(one.result.failure is not None for one in answers)
    assert book.machine.under_way == 0


def test_who_takes_no_work_or_has_enough_says_so() -> None:
    for book in (site(checks=(CRITICAL,)), site(capabilities=()), site().feed(DrainAsked(leave=False))):
        asked(book)
        book.expect_no(Render)
        assert sent(book, Audited, ANNA)[0].result.failure is not None
    book = site().feed(DrainAsked(leave=False), UndrainAsked())
    for _ in range(limits.FAVOURS_MAX + 1):
        asked(book)
    assert len(book.take(Render)) == limits.FAVOURS_MAX
    assert len(sent(book, Audited, ANNA)) == 1


def test_tasks_of_others_and_cards_of_others_are_not_its_own() -> None:
    book = site().feed(changed(BEN, with_card=card(capabilities=())))
    asked(book)
    book.expect(Render)
    book.feed(FrameRendered(TaskId("t1"), failed()), FrameVerified(TaskId("t1"), failed()))
    assert book.out == []
