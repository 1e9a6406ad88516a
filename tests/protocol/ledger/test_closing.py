from __future__ import annotations

from protocol.ids import PeerId
from protocol.jobs.manifest import EMPTY, Manifest
from protocol.jobs.results import Failure, Inspection
from protocol.kernel import Now
from protocol.ledger.closing import all_safe, known_inspection, last_word
from protocol.ledger.facts import Body, Closed, Control, Retried
from protocol.ledger.held import HeldJob
from protocol.ledger.replicas import Replicas
from tests.protocol.making import ANNA, JOB, ME, SCENE, accepted, begun, changed, ended, facts, failed, fence, inspected, spec

NOW = Now(1.0, 7)


def held(*bodies: Body) -> HeldJob:
    job = HeldJob(JOB)
    for fact in facts(*bodies):
        job.fold.add(fact)
    return job


def mesh(*peers: PeerId) -> Replicas:
    known = Replicas(me=ME, host="here", run_epoch=1, count=3)
    for one in peers:
        known.heard(changed(one), NOW)
    return known


def word(job: HeldJob, known: Replicas | None = None) -> Closed | None:
    return last_word(job, known or mesh(), NOW, me=ME, own=job.fold.versions)


def test_nothing_is_over_while_a_frame_is_open():
    assert word(held(accepted())) is None
    assert word(held(*begun(spec(frames="1-2")), ended(1, 1))) is None


def test_a_job_ends_completed_failed_or_cancelled_and_once():
    over = held(*begun(spec(frames="1")), ended(1, 1))
    closed = word(over)
    assert closed == Closed("completed", fence(), 0, 7)
    over.fold.add(facts(closed, first=6)[0])
    assert word(over) is None
    lost = held(*begun(spec(frames="1", max_attempts=1)), ended(1, 1, result=failed()))
    assert word(lost) == Closed("failed", fence(), 0, 7)
    assert word(held(*begun(), Control("cancelled", "1", fence(), 1, 1))) == Closed("cancelled", fence(), 0, 7)
    broken = held(accepted(), inspected(Inspection(error=Failure("scene", "cut"))))
    assert word(broken) == Closed("failed", broken.fold.fence, 0, 7)


def test_after_a_retry_the_last_word_is_said_anew():
    job = held(*begun(spec(frames="1")), ended(1, 1), Closed("completed", fence(), 0, 7), Retried("1", 1, 1))
    assert word(job) is None
    job.fold.add(facts(ended(1, 2, generation=1), first=8)[0])
    assert word(job) == Closed("completed", fence(), 1, 7)


def safe(job: HeldJob, known: Replicas) -> bool:
    return all_safe(job, known, me=ME, own=job.fold.versions)


def test_bytes_are_safe_on_two_peers_or_where_there_is_no_second():
    job = held(*begun(spec(frames="1")), ended(1, 1))
    assert safe(job, mesh())
    assert not safe(job, mesh(ANNA))
    job.copies.heard(ANNA, job.fold.versions, job.fold.versions)
    assert safe(job, mesh(ANNA))
    rendered_elsewhere = held(*begun(spec(frames="1")), ended(1, 1, by=ANNA))
    assert safe(rendered_elsewhere, mesh(ANNA))
    assert not safe(held(*begun()), mesh(ANNA))


def test_nothing_is_safe_while_the_owner_lacks_bytes_itself():
    job = held(*begun(spec(frames="1")), ended(1, 1, by=ANNA))
    job.copies.heard(ANNA, job.fold.versions, job.fold.versions)
    assert not all_safe(job, mesh(ANNA), me=ME, own={})


def test_a_scene_that_was_looked_at_is_known_under_the_same_settings_only():
    def job(manifest: Manifest, seen: Inspection | None, **settings: int) -> HeldJob:
        bodies: list[Body] = [accepted(spec(renderer="blender", **settings), manifest)]
        return held(*bodies, *([inspected(seen)] if seen else []))

    seen = Inspection(frame_end=7)
    assert known_inspection(job(EMPTY, None), []) == Inspection()
    assert known_inspection(job(SCENE, None), [job(SCENE, seen)]) == seen
    assert known_inspection(job(SCENE, None, samples=4), [job(SCENE, seen)]) is None
    assert known_inspection(job(SCENE, None), [job(SCENE, Inspection(error=Failure("scene", "cut")))]) is None
