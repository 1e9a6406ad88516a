from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import Conflict, Invalid
from protocol.events import ControlAsked
from protocol.ids import RequestId
from protocol.jobs.results import Failure, Inspection
from protocol.kernel import Now
from protocol.ledger.controls import control_facts
from protocol.ledger.facts import Closed, Control, Owner, Retried
from protocol.ledger.fold import JobFold
from tests.protocol.making import ANNA, JOB, WOOD, accepted, begun, ended, failed, fence, folded, inspected, spec


def asked(
    fold: JobFold, action: Any, value: str = "", frames: str | None = None, *, include_done: bool = False,
    replaces: int | None = None,
) -> Any:  # fmt: skip
    return control_facts(fold, ControlAsked(RequestId("r"), JOB, action, value, frames, include_done, replaces), Now(1.0, 2))


def test_a_control_says_what_is_to_be_and_saying_it_again_changes_nothing():
    fold = folded(*begun())
    (pause,) = asked(fold, "pause")
    assert pause == Control("paused", "1", fence(), 1, 2)
    paused = folded(*begun(), pause)
    assert asked(paused, "pause") == []
    (resume,) = asked(paused, "resume")
    assert resume.counter == 2
    assert asked(folded(*begun(), pause, resume), "resume") == []
    assert asked(folded(*begun()), "priority", "50") == []
    assert asked(folded(*begun()), "priority", "99")[0].value == "99"


def test_what_an_older_owner_has_said_is_said_again_since_its_last_word_may_not_be_known_here():
    """A cut: the owner of epoch 1 is told to pause on one side, that of epoch 2, which has not heard of it, to go on."""
    first = begun()
    here = folded(*first, Owner(fence(ANNA, 2)))
    (resume,) = asked(here, "resume")
    assert resume == Control("paused", "", fence(ANNA, 2), 1, 2)
    assert asked(folded(*first, Owner(fence(ANNA, 2)), resume), "resume") == []
    (there,) = asked(folded(*first), "pause")
    assert not folded(*first, there, Owner(fence(ANNA, 2)), resume).paused
    assert asked(here, "priority", "50") == [Control("priority", "50", fence(ANNA, 2), 1, 2)]
    assert asked(folded(*first, Owner(fence(ANNA, 2)), Closed("completed", fence(ANNA, 2), 0, 1)), "resume") == []


@pytest.mark.parametrize(
    ("action", "value", "code"),
    [("priority", "101", "bad_priority"), ("priority", "high", "bad_priority"), ("priority", "-1", "bad_priority"),
     ("on_warning", "maybe", "bad_on_warning")],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused(action: str, value: str, code: str):
    refused = asked(folded(*begun()), action, value)
    assert isinstance(refused, Invalid)
    assert refused.code == code


def test_an_ended_job_cannot_be_cancelled_or_paused():
    over = folded(*begun(), Closed("completed", fence(), 0, 1))
    assert isinstance(asked(over, "cancel"), Conflict)
    assert isinstance(asked(over, "pause"), Conflict)


def test_only_a_warning_that_the_scene_has_can_be_accepted():
    fold = folded(accepted(spec(renderer="blender")), inspected(Inspection(warnings=(WOOD,))))
    assert asked(fold, "accept", "missing_file")[0].value == "missing_file"
    assert isinstance(asked(fold, "accept", "missing_file,other"), Conflict)


def test_a_retry_moves_only_failed_frames():
    fold = folded(*begun(spec(max_attempts=1)), ended(1, 1), ended(2, 2, result=failed()), ended(4, 3, result=failed()))
    assert asked(fold, "retry") == [Retried("2,4", 1, 2)]
    assert asked(fold, "retry", frames="1-2") == [Retried("2", 1, 2)]
    assert asked(fold, "retry", frames="1,3") == []


def test_a_rerender_moves_done_frames_too_each_to_its_next_generation():
    fold = folded(*begun(), ended(1, 1), ended(2, 2), Retried("2", 1, 1), ended(2, 3, generation=1))
    assert asked(fold, "retry", include_done=True) == [Retried("1", 1, 2), Retried("2", 2, 2)]


def test_a_rerender_is_above_a_result_whose_own_retry_was_not_heard_of():
    fold = folded(*begun(), ended(1, 3, generation=1))
    assert asked(fold, "retry", include_done=True, frames="1") == [Retried("1", 2, 2)]
    assert asked(fold, "retry", include_done=True, frames="1", replaces=1) == [Retried("1", 2, 2)]


def test_a_repeated_rerender_does_not_bump_twice():
    fold = folded(*begun(), ended(1, 1))
    (bump,) = asked(fold, "retry", include_done=True)
    again = folded(*begun(), ended(1, 1), bump)
    assert asked(again, "retry", include_done=True) == []


def test_a_rerender_that_names_what_it_replaces_is_the_same_however_often_it_is_said():
    first = [*begun(), ended(1, 1), ended(2, 2)]
    (bump,) = asked(folded(*first), "retry", include_done=True, replaces=0)
    assert bump == Retried("1-2", 1, 2)
    done_again = folded(*first, bump, ended(1, 3, generation=1))
    assert done_again.highest == 1
    assert asked(done_again, "retry", include_done=True, replaces=0) == [], "frame 1 was rendered again meanwhile"
    assert asked(done_again, "retry", include_done=True) == [Retried("1", 2, 2)]


def test_a_named_generation_replaces_every_older_one_too():
    fold = folded(*begun(), ended(1, 1), ended(2, 2), Retried("2", 1, 1), ended(2, 3, generation=1))
    assert asked(fold, "retry", include_done=True, replaces=1) == [Retried("1-2", 2, 2)]
    refused = asked(fold, "retry", include_done=True, replaces=2)
    assert isinstance(refused, Invalid)
    assert refused.code == "no_such_generation"


def test_a_retry_that_cannot_be_says_why():
    assert isinstance(asked(folded(*begun()), "retry", frames="9"), Invalid)
    assert isinstance(asked(folded(*begun()), "retry", frames="4-1"), Invalid)
    assert isinstance(asked(folded(accepted(), inspected(Inspection(error=Failure("scene", "cut")))), "retry"), Conflict)
    cancelled = folded(*begun(), Control("cancelled", "1", fence(), 1, 1))
    assert isinstance(asked(cancelled, "retry"), Conflict)
