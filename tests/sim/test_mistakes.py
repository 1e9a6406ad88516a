"""Campaigns find mistakes: each that is planted in ledger and scheduling, and none in the sound source."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.planting import planted, source_of
from tests.sim.mistakes import MISTAKES, SEEDS
from tests.sim.planting import SOUND, Job, found

PROCESSES = 2


def test_every_mistake_fits_the_source_exactly_once():
    assert len(MISTAKES) >= 10
    assert len({mistake.what for mistake in MISTAKES.values()}) == len(MISTAKES)
    for mistake in MISTAKES.values():
        assert planted(source_of(mistake.file), mistake.edits) != source_of(mistake.file)
        assert 1 <= mistake.seed <= SEEDS


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_mistake_is_found_and_its_seed_goes_well_on_the_sound_source(tmp_path: Path):
    """Where the sources have moved on and the seed of the table finds it no more, another of the first `SEEDS` does."""
    seeds = sorted({mistake.seed for mistake in MISTAKES.values()})
    jobs = [*(Job(number, mistake.seed, 1) for number, mistake in MISTAKES.items()), *(Job(SOUND, seed, 1) for seed in seeds)]
    rows = found(jobs, tmp_path / "first", processes=PROCESSES)
    assert [row for row in rows if row.number == SOUND and row.seed is not None] == []
    missed = [row.number for row in rows if row.number != SOUND and row.seed is None]
    again = found([Job(number, 1, SEEDS) for number in missed], tmp_path / "again", processes=PROCESSES)
    assert [MISTAKES[row.number].what for row in again if row.seed is None] == []
