from __future__ import annotations

from dataclasses import fields
from random import Random

from tests.sim.faults import Faults

DRAWN = [Faults.draw(Random(seed)) for seed in range(100)]


def test_every_fault_is_sometimes_absent_and_sometimes_there():
    for field in fields(Faults):
        if field.name in ("partition_s", "restart_s", "link_s", "stall_s", "scrub_s"):
            continue  # lengths, not likelihoods
        if field.name == "audit_share":
            continue  # not drawn: `tests.sim.trust` sets it for its own campaign
        values = [getattr(faults, field.name) for faults in DRAWN]
        assert 0.0 in values, field.name
        assert any(values), field.name


def test_the_seed_decides():
    assert Faults.draw(Random(7)) == Faults.draw(Random(7))
    assert Faults.draw(Random(7)) != Faults.draw(Random(8))
