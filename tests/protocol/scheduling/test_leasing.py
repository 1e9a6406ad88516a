from __future__ import annotations

from protocol.ids import JobId, LeaseId
from protocol.scheduling.holdings import Holdings, LeaseHeld
from protocol.scheduling.leasing import lease_notice, lease_of, ranked
from tests.protocol.making import ANNA, JOB, attempt, fence, work

OTHER = JobId("cd" * 16)


def leased(book: Holdings, *frames: int) -> LeaseHeld:
    held = LeaseHeld(LeaseId("1" * 16), ANNA, 1, None, dict.fromkeys(frames), 1.0, 21.0)
    assert book.queue is not None
    book.grant(held, book.queue.take(len(frames), avoid=lambda at: False))
    return held


def test_priority_comes_before_age_and_a_submitter_with_nothing_under_way_before_one_that_has():
    first, second = Holdings.open(work()), Holdings.open(work(job=OTHER, submitted_ms=2000, submitter="another"))
    assert ranked([second, first]) == [first, second]
    leased(first, 1)
    assert ranked([first, second]) == [second, first]
    urgent = Holdings.open(work(job=JobId("ef" * 16), priority=90, submitted_ms=3000))
    assert ranked([first, second, urgent])[0] is urgent


def test_a_lease_speaks_of_its_frames_in_the_generation_that_is_wanted():
    book = Holdings.open(work(generations=((1, 3),)))
    lease = lease_of(book, leased(book, 1, 2), inspect=False, attempts=(attempt(1), attempt(2)))
    assert (lease.job, lease.fence, lease.frames, lease.generations) == (JOB, fence(), (1, 2), (3, 0))
    notice = lease_notice(lease, ANNA)
    assert (notice.event, notice.fields["count"], notice.fields["to"]) == ("frames_leased", 2, ANNA)


def test_a_look_at_the_scene_is_a_lease_without_frames():
    book = Holdings.open(work(None))
    held = LeaseHeld(LeaseId("1" * 16), ANNA, 1, attempt(1), {}, 1.0, 21.0)
    lease = lease_of(book, held, inspect=True, attempts=(attempt(1),))
    assert lease_notice(lease, ANNA).event == "inspection_leased"
