"""Every behaviour has a test that would notice: a mistake is planted for each, and its tests must fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.planting import TOP, planted, source_of
from tests.protocol.membership.mutations.planting import CLEAN
from tests.protocol.membership.mutations.table import MUTATIONS

PROCESSES = 2
FAILED = 1  # pytest's code for tests that failed; a mistake that breaks an import would give another


def test_every_behaviour_has_a_mistake_that_fits_the_source_exactly_once() -> None:
    assert sorted({number % 100 for number in MUTATIONS}) == list(range(1, 41))
    for mutation in MUTATIONS.values():
        source = source_of(mutation.file)
        assert planted(source, mutation.edits) != source


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_planted_mistake_is_caught_and_the_sound_source_passes(tmp_path: Path) -> None:
    numbers = [CLEAN, *MUTATIONS]
    command = [sys.executable, "-m", "tests.protocol.membership.mutations.planting"]
    running = [
        subprocess.Popen(
            [*command, str(tmp_path / str(at)), *map(str, numbers[at::PROCESSES])], cwd=TOP, stdout=subprocess.PIPE, text=True
        )
        for at in range(PROCESSES)
    ]
    codes: dict[int, int] = {}
    for process in running:
        out, _ = process.communicate()
        codes |= {row["number"]: row["code"] for row in map(json.loads, out.splitlines())}
        assert process.returncode == 0
    assert codes.pop(CLEAN) == 0
    unnoticed = {number: (MUTATIONS[number].behaviour, code) for number, code in codes.items() if code != FAILED}
    assert unnoticed == {}
    assert sorted(codes) == sorted(MUTATIONS)
