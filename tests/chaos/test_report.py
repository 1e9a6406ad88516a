"""The report says what was done and what broke."""

from __future__ import annotations

from tests.chaos.checker import judge
from tests.chaos.report import written
from tests.chaos.test_checker import Forgery, line, lost, truth

HEAD = {"seed": 7, "minutes": "1", "again": "scripts/chaos --seed 7"}


def report(case: Forgery) -> str:
    return written(HEAD, case.lines, judge(case.lines, case.found, truth))


def test_a_good_campaign_says_so_with_its_figures():
    case = Forgery()
    case.lines.append(line("left_out", kind="twin", number=3, reason="nobody is up"))
    text = report(case)
    assert "all 12 promises kept" in text
    assert "BROKEN" not in text
    assert "1 kill" in text
    assert "1 twin: nobody is up" in text
    assert "submit    1 no answer, 3 202" in text
    assert text.endswith("again: scripts/chaos --seed 7\n")


def test_a_violation_is_shown_with_its_history():
    case = Forgery()
    lost(case)
    text = report(case)
    assert "BROKEN  every acknowledged job is there" in text
    assert "The first violation" in text
    assert "p2 does not know job j-whole" in text
    assert text.count("frame_committed") == 4
    assert "1 of 12 promises broken" in text
