from __future__ import annotations

from protocol.ids import LeaseId
from protocol.scheduling.holdings import Holdings, LeaseHeld
from protocol.scheduling.outlook import eta_s, why_waiting
from tests.protocol.making import ANNA, BEN, NULL, attempt, card, spec, work


def leased(book: Holdings, *positions: int) -> None:
    assert book.queue is not None
    assert book.work.frames is not None
    taken = book.queue.take(len(positions), avoid=lambda at: at not in positions)
    frames = {book.work.frames[at]: attempt(at) for at in taken}
    book.grant(LeaseHeld(LeaseId("1" * 16), ANNA, 1, None, dict(frames), 0.0, 20.0), taken)


def test_without_a_measured_frame_there_is_no_estimate():
    book = Holdings.open(work("1-10"))
    assert eta_s(book) is None
    leased(book, 0)
    assert eta_s(book) is None


def test_what_is_left_over_the_present_pace():
    book = Holdings.open(work("1-10"))
    leased(book, 0, 1)
    book.times.add(ANNA, 2.0)
    assert eta_s(book) == 20.0


def test_nothing_waits_nothing_is_explained():
    assert why_waiting(Holdings.open(work("1-2", open_=False)), {ANNA: card()}) == []


def test_why_frames_wait_is_said_per_peer_when_nobody_can_render_them():
    book = Holdings.open(work("1-2", spec(renderer="blender", frames="1-2")))
    reasons = why_waiting(book, {ANNA: card(capabilities=(NULL,)), BEN: card(draining=True)})
    assert [reason.code for reason in reasons] == ["no_capable_peer", "no_renderer", "draining"]


def test_busy_peers_and_peers_that_were_told_are_told_apart():
    book = Holdings.open(work("1-2"))
    assert why_waiting(book, {ANNA: card(slots_free=0)})[0].code == "peers_busy"
    assert why_waiting(book, {ANNA: card(slots_free=1)})[0].code == "being_taken"
    assert "inspection" in why_waiting(Holdings.open(work(None)), {ANNA: card()})[0].text
