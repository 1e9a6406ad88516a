from __future__ import annotations

from protocol.errors import Unavailable
from protocol.ids import RequestId
from protocol.kernel import Now
from protocol.ledger.held import HeldJob
from protocol.ledger.promises import break_all, break_late, copies_of, keep, make_promise, owner_elsewhere
from protocol.ledger.replicas import Replicas
from protocol.views import JobView, Submitted
from tests.protocol.making import ANNA, AUTHOR, JOB, ME, begun, changed, ended, facts, spec

NOW = Now(10.0, 1)


def held(durability: str = "two") -> HeldJob:
    job = HeldJob(JOB)
    for fact in facts(*begun(spec(durability=durability))):
        job.fold.add(fact)
    return job


def mesh() -> Replicas:
    known = Replicas(me=ME, host="here", run_epoch=1, count=3)
    known.heard(changed(ANNA), NOW)
    return known


def test_a_submission_waits_for_the_job_and_a_control_for_all_that_is_known():
    job, known = held(), mesh()
    make_promise(job, RequestId("submit"), NOW, submits=True, created=True)
    make_promise(job, RequestId("control"), NOW, submits=False, created=False)
    job.copies.heard(ANNA, {AUTHOR: 1}, {AUTHOR: 1})
    (reply,), is_accepted = keep(job, known)
    assert (reply.request, is_accepted) == ("submit", True)
    assert isinstance(reply.value, Submitted)
    job.copies.heard(ANNA, {AUTHOR: 4}, {AUTHOR: 1})
    (reply,), is_accepted = keep(job, known)
    assert (reply.request, is_accepted) == ("control", False)
    assert isinstance(reply.value, JobView)


def test_who_asked_for_one_copy_waits_for_nobody():
    job = held("local")
    make_promise(job, RequestId("r"), NOW, submits=True, created=True)
    assert len(keep(job, mesh())[0]) == 1


def test_a_promise_is_broken_when_its_time_is_over_and_not_before():
    job = held()
    make_promise(job, RequestId("r"), NOW, submits=True, created=True)
    assert break_late(job, Now(39.9, 1)) == ([], False)
    (reply,), was_never_accepted = break_late(job, Now(40.1, 1))
    assert isinstance(reply.value, Unavailable)
    assert was_never_accepted
    assert job.promises == []


def test_all_are_told_when_the_job_moves_on():
    job = held()
    make_promise(job, RequestId("r"), NOW, submits=False, created=False)
    assert [reply.value.code for reply in break_all(job, owner_elsewhere(ANNA))] == ["owner_elsewhere"]
    assert job.promises == []


def test_copies_are_counted_with_this_peer_and_only_where_the_scene_is():
    job, known = held(), mesh()
    assert copies_of(job, known) == 1
    job.copies.heard(ANNA, {AUTHOR: 4}, {})
    assert copies_of(job, known) == 1
    job.copies.heard(ANNA, {AUTHOR: 4}, {AUTHOR: 1})
    job.fold.add(facts(ended(1, 1), first=5)[0])
    assert copies_of(job, known) == 2
