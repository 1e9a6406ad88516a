from __future__ import annotations

from protocol import limits
from protocol.effects import FetchBlobs
from protocol.kernel import Now
from protocol.ledger.facts import Body, Closed, Delivered, FrameEnded, ReplicaSet, Retried
from protocol.ledger.held import HeldJob
from protocol.ledger.recovery import Recovery
from protocol.ledger.replicas import Replicas
from tests.protocol.making import ANNA, BEN, CARL, JOB, ME, begun, changed, ended, facts, fence, output


def at(seconds: float) -> Now:
    return Now(seconds, 7)


def held(*bodies: Body) -> HeldJob:
    job = HeldJob(JOB)
    for fact in facts(*begun(), ReplicaSet(fence(), 2, (ME, BEN)), *bodies):
        job.fold.add(fact)
    return job


def mesh(**states: str) -> Replicas:
    """Anna and Ben are there, unless a state says otherwise."""
    known = Replicas(me=ME, host="here", run_epoch=1, count=3)
    for name, one in (("anna", ANNA), ("ben", BEN)):
        known.heard(changed(one), at(0))
        if name in states:
            known.heard(changed(one, states[name]), at(0))  # type: ignore[arg-type]
    return known


def searched(job: HeldJob, results: list[FrameEnded], known: Replicas, recovery: Recovery, now: Now) -> list[FetchBlobs]:
    return recovery.look_for(job, results, known, now)


def test_who_delivered_a_frame_is_asked_too_while_it_is_there():
    one = ended(1, 1, by=ANNA)
    job = held(one, Delivered("1", 0, (), CARL, 1))
    for state, holders in (("alive", (ANNA, BEN, CARL)), ("dead", (ANNA, BEN))):
        known = mesh()
        known.heard(changed(CARL), at(0))
        known.heard(changed(CARL, state), at(0))  # type: ignore[arg-type]
        (fetch,) = searched(job, [one], known, Recovery(me=ME), at(100))
        assert fetch.holders == holders


def lost_after(state: str, seconds: float, *, result: FrameEnded | None = None, more: tuple[Body, ...] = ()) -> list[Retried]:
    """What is given up so long after a search for one result of a peer in `state` has failed."""
    one = result or ended(1, 1, by=ANNA)
    job, known, recovery = held(one, *more), mesh(anna=state), Recovery(me=ME)
    (fetch,) = searched(job, [one], known, recovery, at(100))
    recovery.ended(fetch.ticket, "nobody has it")
    for again in recovery.look_again(job, known, at(100 + seconds)):
        recovery.ended(again.ticket, "nobody has it")
    return recovery.lost(job, known, at(100 + seconds))


def test_what_came_by_itself_meanwhile_is_found_before_it_is_given_up():
    one = ended(1, 1, by=ANNA)
    job, known, recovery = held(one), mesh(anna="dead"), Recovery(me=ME)
    (fetch,) = searched(job, [one], known, recovery, at(100))
    assert recovery.look_again(job, known, at(200)) == [], "it is being looked for"
    recovery.ended(fetch.ticket, "nobody has it")
    over = at(100 + limits.LOST_WITHOUT_HOLDER_S)
    assert recovery.look_again(job, known, at(101)) == []
    assert recovery.lost(job, known, over) == []
    (again,) = recovery.look_again(job, known, over)
    assert again.items == fetch.items
    assert recovery.lost(job, known, over) == [], "it is looked for a last time"
    assert recovery.look_again(job, known, over) == []
    recovery.ended(again.ticket, "")
    assert recovery.lost(job, known, at(300)) == []


def test_each_result_is_looked_for_by_itself_at_whoever_may_have_it():
    one, two = ended(1, 1, by=ANNA), ended(2, 2, by=ANNA)
    job, recovery = held(one, two), Recovery(me=ME)
    first, second = searched(job, [one, two], mesh(anna="dead"), recovery, at(1))
    assert (first.items, first.holders, first.pin_for) == (((output(1, ANNA).digest, 100),), (ANNA, BEN), JOB)
    assert second.items == ((output(2, ANNA).digest, 100),)
    assert recovery.owns(first.ticket) == JOB
    assert searched(job, [one, two], mesh(), recovery, at(2)) == []  # both are under way
    recovery.ended(first.ticket, "")
    recovery.ended(second.ticket, "nobody has it")
    assert [fetch.items for fetch in searched(job, [one, two], mesh(), recovery, at(3))] == [second.items]


def test_a_frame_of_which_every_holder_is_dead_is_wanted_again_after_a_while():
    assert lost_after("dead", limits.LOST_WITHOUT_HOLDER_S - 0.1) == []
    assert lost_after("dead", limits.LOST_WITHOUT_HOLDER_S) == [Retried("1", 1, 7)]


def test_a_holder_that_left_is_not_waited_for_and_one_that_lives_is_waited_for_longer():
    assert lost_after("left", 0.0) == [Retried("1", 1, 7)]
    assert lost_after("alive", limits.LOST_WITHOUT_HOLDER_S + 1) == []
    assert lost_after("alive", limits.LOST_WITH_HOLDER_S) == [Retried("1", 1, 7)]


def test_a_result_that_no_longer_wins_is_forgotten():
    late = ended(1, 2, by=ANNA)
    assert lost_after("dead", 60.0, result=late, more=(ended(1, 1),)) == []


def test_an_ended_job_is_left_to_people_unless_its_result_was_replaced_since():
    one, closed = ended(1, 1, by=ANNA), Closed("completed", fence(), 0, 7)
    assert lost_after("left", 0.0, result=one, more=(closed,)) == []
    assert lost_after("left", 0.0, result=one, more=(ended(1, 2), closed)) == [Retried("1", 1, 7)]


def test_what_was_left_is_looked_for_now_and_then_since_a_holder_may_come_back_or_the_job_go_on():
    one = ended(1, 1)
    job, known, recovery = held(one, Closed("completed", fence(), 0, 7)), mesh(), Recovery(me=ME)
    (fetch,) = searched(job, [one], known, recovery, at(100))
    assert fetch.holders == (BEN,)
    recovery.ended(fetch.ticket, "nobody has it")
    assert recovery.lost(job, known, at(101)) == [], "an ended job is left to people"
    job.copies.told(ANNA, dict(job.fold.versions))
    later = 100 + limits.LOST_WITHOUT_HOLDER_S
    assert searched(job, [one], known, recovery, at(later - 1)) == []
    (again,) = searched(job, [one], known, recovery, at(later))
    assert again.holders == (BEN, ANNA)
    recovery.ended(again.ticket, "nobody has it")
    assert job.fold.add(facts(Retried("2", 1, 7), first=8)[0])
    assert recovery.lost(job, known, at(later + 1)) == [Retried("1", 1, 7)], "the job goes on"


def test_patience_ends_with_what_is_found_or_given_up():
    one = ended(1, 1, by=ANNA)
    job, known, recovery = held(one, Closed("completed", fence(), 0, 7)), mesh(anna="left"), Recovery(me=ME)
    assert not recovery.is_patient(JOB)
    (fetch,) = searched(job, [one], known, recovery, at(1))
    assert recovery.is_patient(JOB)
    recovery.ended(fetch.ticket, "nobody has it")
    assert recovery.lost(job, known, at(1)) == []
    assert not recovery.is_patient(JOB)
    assert searched(job, [one], known, recovery, at(2)) == []


def test_a_result_that_is_wanted_anew_already_is_not_asked_for_twice():
    one = ended(1, 1, by=ANNA)
    job, known, recovery = held(one), mesh(anna="left"), Recovery(me=ME)
    (fetch,) = searched(job, [one], known, recovery, at(1))
    recovery.ended(fetch.ticket, "nobody has it")
    job.fold.add(facts(Retried("1", 1, 1), first=len(job.fold.log[facts(one)[0].author]) + 1)[0])
    assert recovery.lost(job, known, at(2)) == []


def test_searches_are_bounded_and_end_with_the_job():
    results = [ended(frame, frame, by=ANNA) for frame in range(1, limits.SEARCHES_AT_ONCE_MAX + 10)]
    job, recovery = held(*results), Recovery(me=ME)
    found = searched(job, results, mesh(), recovery, at(1))
    assert len(found) == limits.SEARCHES_AT_ONCE_MAX
    for fetch in found:
        recovery.ended(fetch.ticket, "")
    assert len(searched(job, results, mesh(), recovery, at(2))) == 9
    late = Recovery(me=ME)
    (fetch,) = searched(job, results[:1], mesh(), late, at(1))
    late.forget(JOB)
    late.ended(fetch.ticket, "nobody has it")
    assert late.lost(job, mesh(), at(1e6)) == []
    assert late.owns(fetch.ticket) is None
