"""What a benchmark says of its figures, and how it is asked."""

from __future__ import annotations

import pytest

from tests.bench.__main__ import BENCHES, parsed
from tests.bench.measured import Row, ratio_of_medians, table


def test_a_ratio_is_that_of_the_medians_so_that_one_slow_pass_does_not_count():
    row = ratio_of_medians("one peer", goal=1.10, ours=[1.0, 1.1, 9.0], theirs=[1.0, 1.0, 5.0], what="one Blender")
    assert (row.measured, row.goal, row.holds) == (1.1, 1.10, True)
    assert row.raw == {"ours": [1.0, 1.1, 9.0], "one Blender": [1.0, 1.0, 5.0]}


def test_a_goal_is_missed_above_it():
    assert not Row("one peer", 1.10, 1.11, "x", {}).holds


def test_the_table_shows_goal_figure_verdict_and_what_was_measured():
    rows = [Row("one peer", 1.10, 1.2, "x", {"ours": [1.25]}), Row("upload", 64, 12.5, "MB", {})]
    lines = table(rows).splitlines()
    assert lines[1].split() == ["one", "peer", "1.100x", "1.200x", "MISSED"]
    assert lines[2].split() == ["ours:", "1.250"]
    assert lines[3].split() == ["upload", "64", "MB", "12.5", "MB", "holds"]


def test_an_unknown_name_is_answered_with_those_that_there_are(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        parsed(["speed"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert all(name in said for name in BENCHES)


@pytest.mark.parametrize("pairs", ["0", "-1", "x", "1001"])
def test_pairs_are_a_count(pairs: str):
    with pytest.raises(SystemExit):
        parsed(["render", "--pairs", pairs])


def test_seven_pairs_unless_told_otherwise():
    assert parsed(["render"]).pairs == 7
    assert parsed(["render", "--pairs", "3"]).pairs == 3
    assert parsed(["--pairs", "3", "render"]).pairs == 3
    assert parsed(["--peers", "5,20", "membership"]).peers == (5, 20)
