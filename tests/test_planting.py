"""A mistake goes into a copy alone, exactly where it is meant, and a child really runs on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.planting import TOP, planted, source_of

PROGRAM = """
import sys
from pathlib import Path
from tests.planting import copied, forked, mistake

def replicas():
    from protocol import limits
    return limits.REPLICAS_DEFAULT

folder = copied(Path(sys.argv[1]))
with mistake(folder, "limits.py", [("REPLICAS_DEFAULT: Final = 3", "REPLICAS_DEFAULT: Final = 5")]):
    print(forked(folder, replicas))
print(forked(folder, replicas))
print(forked(folder, lambda: 1 // 0))
assert "protocol" not in sys.modules
"""


@pytest.mark.parametrize("text", ["a", "b b"])
def test_an_old_text_that_is_missing_or_ambiguous_is_refused(text: str):
    with pytest.raises(ValueError, match="times"):
        planted(text, [("b", "c")])


def test_edits_follow_one_another():
    assert planted("a b", [("a", "c"), ("c b", "d")]) == "d"


def test_a_child_runs_on_the_mistake_and_the_next_one_on_the_sound_source(tmp_path: Path):
    before = source_of("limits.py")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "copy")], cwd=TOP, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["5", "3", "99"]
    assert "ZeroDivisionError" in ended.stderr
    assert source_of("limits.py") == before
