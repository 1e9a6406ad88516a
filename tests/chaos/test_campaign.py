"""A short campaign with real peers, as `scripts/chaos` makes long ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import campaign
from tests.chaos.report import written


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_peers_that_are_killed_keep_every_promise(tmp_path: Path):
    kinds = frozenset({"kill", "kill_all", "stop"})
    settings = campaign.Settings(tmp_path, seconds=16, seed=4, peers=3, film_frames=0, kinds=kinds, apart_s=(0.5, 3.0))
    outcome = campaign.run(settings)
    text = written({"again": "pytest"}, outcome.history.lines, outcome.verdicts)
    assert [verdict.promise for verdict in outcome.verdicts if not verdict.holds] == [], text
    assert len([line for line in outcome.history.of("fault") if line["kind"] in ("kill", "kill_all")]) >= 2, text
    assert len(outcome.history.of("intend")) >= 5, text


def test_the_script_says_how_it_is_used():
    command = [sys.executable, "-m", "tests.chaos", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    for word in ("--minutes", "--seed", "--peers", "--blender-frames", "--keep", "examples:"):
        assert word in done.stdout
