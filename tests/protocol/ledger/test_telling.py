from __future__ import annotations

from protocol.jobs.results import Failure, Inspection
from protocol.ledger.facts import Closed
from protocol.ledger.held import HeldJob
from protocol.ledger.telling import closed_notice, frame_notice, inspected_notice
from protocol.signals import FrameCommitted
from tests.protocol.making import ANNA, JOB, WOOD, attempt, begun, done, ended, facts, failed, fence


def test_a_failed_frame_is_a_warning_with_its_reason():
    good = frame_notice(FrameCommitted(JOB, 3, 0, attempt(7), ANNA, done(3)))
    assert (good.event, good.level, good.fields) == (
        "frame_committed", "info", {"frame": 3, "by": ANNA, "seconds": 1.0, "attempt": 7},
    )  # fmt: skip
    bad = frame_notice(FrameCommitted(JOB, 3, 0, attempt(7), ANNA, failed("timeout")))
    assert (bad.event, bad.level, bad.fields["kind"], bad.fields["reason"]) == (
        "frame_failed", "warning", "timeout", "it was timeout",
    )  # fmt: skip


def test_an_inspection_is_told_with_its_warnings_and_its_error():
    assert inspected_notice(JOB, ANNA, Inspection(warnings=(WOOD,))).fields["warnings"] == ["missing_file"]
    broken = inspected_notice(JOB, ANNA, Inspection(error=Failure("scene", "no camera")))
    assert broken.fields["error"] == "no camera"


def test_the_end_of_a_job_says_how_long_it_took_since_its_first_frame():
    held = HeldJob(JOB)
    for fact in facts(*begun(), ended(1, 1)):
        held.fold.add(fact)
    notice = closed_notice(held, Closed("completed", fence(), 0, 5_000))
    assert (notice.event, notice.fields) == ("job_completed", {"state": "completed", "seconds": 5.0})
