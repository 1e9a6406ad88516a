from __future__ import annotations

from random import Random

from protocol.ids import JobId, PeerId
from protocol.scheduling.victims import Victims
from protocol.views import JobView
from tests.protocol.making import ANNA, BEN, CARL, ME, job_view

ONE, TWO, THREE = JobId("1" * 32), JobId("2" * 32), JobId("3" * 32)


def victims(*views: JobView) -> Victims:
    known = Victims(me=ME, random=Random(1))
    for view in views:
        known.heard(view.id, view)
    return known


def pick(
    known: Victims, *, dead: tuple[PeerId, ...] = (), now_s: float = 0.0, renderers: tuple[str, ...] = ("null",)
) -> PeerId | None:
    return known.choose(now_s=now_s, is_live=lambda peer: peer not in dead, renderers=renderers)


def test_who_woke_us_is_asked_first_and_once():
    known = victims()
    known.woken_by(ANNA, ONE, 0.0)
    known.woken_by(ANNA, ONE, 0.0)
    assert pick(known) == ANNA
    assert pick(known) is None


def test_a_dead_owner_is_never_asked():
    known = victims(job_view(ONE))
    known.woken_by(ANNA, ONE, 0.0)
    assert pick(known, dead=(ANNA,)) is None


def test_the_highest_priority_goes_first_and_then_the_longer_queue():
    known = victims(
        job_view(ONE, owner=ANNA, pending=99),
        job_view(TWO, owner=BEN, priority=80),
        job_view(THREE, owner=CARL, priority=80, pending=5),
    )
    assert pick(known) == CARL


def test_owners_that_were_left_alone_for_long_enough_are_not_remembered():
    known = victims(job_view(ONE))
    for number in range(1_000):
        known.had_nothing(PeerId(f"{number:064x}"), float(number))
    pick(known, now_s=990.0)
    assert len(known._quiet_until) == 9


def test_an_owner_that_had_nothing_is_left_alone_until_it_wakes_us():
    known = victims(job_view(ONE))
    known.had_nothing(ANNA, 5.0)
    assert pick(known, now_s=4.9) is None
    assert pick(known, now_s=5.0) == ANNA
    known.had_nothing(ANNA, 9.0)
    known.woken_by(ANNA, ONE, 6.0)
    assert pick(known, now_s=6.0) == ANNA
    assert pick(known, now_s=6.0) == ANNA, "it woke us: what it said before is void"


def test_a_job_whose_scene_could_not_be_had_wakes_nobody_for_a_while():
    known = victims(job_view(ONE))
    known.could_not_reach(ANNA, ONE, 5.0)
    known.woken_by(ANNA, ONE, 4.0)
    assert pick(known, now_s=4.0) is None
    known.woken_by(ANNA, TWO, 4.0)
    assert pick(known, now_s=4.0) == ANNA, "another job of that owner"
    known.could_not_reach(ANNA, ONE, 9.0)
    known.woken_by(ANNA, ONE, 9.0)
    assert pick(known, now_s=9.0) == ANNA
    pick(known, now_s=9.0)
    assert known._unreached_until == {}


def test_jobs_that_cannot_be_rendered_here_are_nobody_to_ask_about():
    assert pick(victims(job_view(ONE)), renderers=("blender",)) is None
    assert pick(victims(job_view(ONE, only_on=BEN))) is None
    assert pick(victims(job_view(ONE, pending=0))) is None
    assert pick(victims(job_view(ONE, state="inspecting", pending=0))) == ANNA


def test_an_ended_job_is_forgotten():
    known = victims(job_view(ONE))
    assert known.owner_of(ONE) == ANNA
    known.heard(ONE, job_view(ONE, state="completed"))
    assert known.owner_of(ONE) is None
    assert pick(known) is None
