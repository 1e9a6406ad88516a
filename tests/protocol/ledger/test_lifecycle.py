from __future__ import annotations

from protocol.jobs.results import Failure, Inspection
from protocol.ledger.facts import Body, Closed, Control
from protocol.ledger.lifecycle import held_because, job_state, refusal, unaccepted, wants_frames
from tests.protocol.making import WOOD, accepted, begun, ended, failed, fence, folded, inspected, spec


def control(name: str, value: str, counter: int = 1) -> Control:
    return Control(name, value, fence(), counter, 1)  # type: ignore[arg-type]


def held_job(*more: Body):
    return folded(accepted(spec(renderer="blender")), inspected(Inspection(warnings=(WOOD,))), *more)


def test_a_job_is_inspected_queued_running_and_ended():
    assert job_state(folded(accepted()), running=0) == "inspecting"
    assert job_state(folded(*begun()), running=0) == "queued"
    assert job_state(folded(*begun()), running=1) == "running"
    assert job_state(folded(*begun(), ended(1, 1)), running=0) == "running"
    assert job_state(folded(*begun(), ended(1, 1, result=failed())), running=0) == "running"
    assert job_state(folded(*begun(), Closed("completed", fence(), 0, 1)), running=0) == "completed"


def test_cancelled_wins_over_everything():
    fold = folded(*begun(), Closed("completed", fence(), 0, 1), control("cancelled", "1"))
    assert job_state(fold, running=3) == "cancelled"


def test_a_picture_warning_holds_the_job_until_it_is_accepted():
    fold = held_job()
    assert job_state(fold, running=0) == "held"
    assert [reason.code for reason in held_because(fold)] == ["missing_file"]
    assert not wants_frames(fold)
    assert unaccepted(held_job(control("accepted_warnings", "missing_file"))) == []
    assert wants_frames(held_job(control("accepted_warnings", "missing_file")))


def test_the_client_may_have_said_beforehand_what_a_warning_means():
    assert wants_frames(held_job(control("on_warning", "accept")))
    fold = held_job(control("on_warning", "fail"))
    assert refusal(fold) == "wood.png is missing"
    assert not wants_frames(fold)


def test_a_broken_scene_fails_the_job_as_a_whole():
    fold = folded(accepted(), inspected(Inspection(error=Failure("scene", "cut short"))))
    assert refusal(fold) == "cut short"
    assert not wants_frames(fold)


def test_a_paused_job_wants_no_frames_and_a_resumed_one_does():
    assert job_state(folded(*begun(), control("paused", "1")), running=0) == "paused"
    assert not wants_frames(folded(*begun(), control("paused", "1")))
    assert wants_frames(folded(*begun(), control("paused", "1"), control("paused", "", 2)))
