from __future__ import annotations

from protocol.kernel import Now
from protocol.ledger.facts import Retried
from protocol.ledger.refuted import anew, doubtful_notice, made_by
from tests.protocol.making import ANNA, BEN, JOB, begun, ended, folded


def test_the_done_frames_of_a_peer_are_found_and_wanted_in_the_generation_after_their_own() -> None:
    again = Retried("3", 1, 1000)
    third = ended(3, 4, by=ANNA, generation=1)
    fold = folded(*begun(), ended(1, 1, by=ANNA), ended(2, 2, by=BEN), ended(3, 3, by=BEN), again, third)
    assert made_by(fold, ANNA) == [1, 3]
    assert made_by(fold, BEN) == [2]
    assert anew(fold, [1, 3], Now(1.0, 5)) == [Retried("1", 1, 5), Retried("3", 2, 5)]


def test_frames_that_are_wanted_again_already_are_not_asked_for_once_more() -> None:
    fold = folded(*begun(), ended(1, 1, by=ANNA), Retried("1", 1, 1000))
    assert made_by(fold, ANNA) == []


def test_ended_jobs_are_told_of() -> None:
    notice = doubtful_notice(JOB, ANNA, [1, 2, 3, 9])
    assert (notice.event, notice.level, notice.job) == ("frames_doubtful", "warning", JOB)
    assert notice.fields == {"peer": ANNA, "frames": "1-3,9", "count": 4}
