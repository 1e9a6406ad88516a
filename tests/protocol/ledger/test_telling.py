from __future__ import annotations

from dataclasses import replace

from protocol.jobs.results import Failure, FrameResult, Inspection
from protocol.ledger.facts import Closed, Delivered
from protocol.ledger.held import HeldJob
from protocol.ledger.telling import closed_notice, frame_notice, inspected_notice, succession_notice, winner_notice
from protocol.signals import FrameCommitted
from tests.protocol.making import (
    ANNA,
    BEN,
    JOB,
    WOOD,
    attempt,
    begun,
    digest,
    done,
    ended,
    facts,
    failed,
    fence,
    folded,
    output,
)


def test_a_failed_frame_is_a_warning_with_its_reason():
    good = frame_notice(FrameCommitted(JOB, 3, 0, attempt(7), ANNA, done(3)))
    assert (good.event, good.level, good.fields) == (
        "frame_committed", "info", {"frame": 3, "by": ANNA, "seconds": 1.0, "attempt": 7},
    )  # fmt: skip
    bad = frame_notice(FrameCommitted(JOB, 3, 0, attempt(7), ANNA, failed("timeout")))
    assert (bad.event, bad.level, bad.fields["kind"], bad.fields["reason"]) == (
        "frame_failed", "warning", "timeout", "it was timeout",
    )  # fmt: skip


def test_a_changed_winner_says_whose_pixels_were_delivered_and_warns_where_they_differ():
    fold = folded(*begun(), ended(1, 9, by=ANNA), ended(1, 7, by=BEN), Delivered("1", 0, (), ANNA, 1))
    same = winner_notice(fold, ended(1, 9, by=ANNA), ended(1, 7, by=BEN))
    assert (same.event, same.level, same.job) == ("winner_changed", "info", JOB)
    assert same.fields == {
        "frame": 1, "generation": 0, "from": ANNA, "to": BEN, "was": digest(f"1 by {ANNA}"), "now": digest(f"1 by {BEN}"),
        "same_pixels": True, "delivered": True,
    }  # fmt: skip
    other = FrameResult((replace(output(1, BEN), pixel_hash=digest("others")),), None, 1.0)
    differs = winner_notice(fold, ended(1, 9, by=ANNA), ended(1, 7, by=BEN, result=other))
    assert (differs.level, differs.fields["same_pixels"]) == ("warning", False)


def test_an_inspection_is_told_with_its_warnings_and_its_error():
    assert inspected_notice(JOB, ANNA, Inspection(warnings=(WOOD,))).fields["warnings"] == ["missing_file"]
    broken = inspected_notice(JOB, ANNA, Inspection(error=Failure("scene", "no camera")))
    assert broken.fields["error"] == "no camera"


def test_who_succeeds_whom_has_a_name_of_its_own():
    cases = ((ANNA, False), (ANNA, True), (BEN, True))
    told = [succession_notice(JOB, before, fence(BEN, 3), was_there=there) for before, there in cases]
    assert [notice.event for notice in told] == ["job_taken_over", "job_handed_over", "job_reopened"]
    assert told[0].fields == {"from": ANNA, "to": BEN, "epoch": 3}


def test_the_end_of_a_job_says_how_long_it_took_since_its_first_frame():
    held = HeldJob(JOB)
    for fact in facts(*begun(), ended(1, 1)):
        held.fold.add(fact)
    notice = closed_notice(held, Closed("completed", fence(), 0, 5_000))
    assert (notice.event, notice.fields) == ("job_completed", {"state": "completed", "seconds": 5.0})
