"""A world that the tests of checkers look at. Nobody changes it but by monkeypatch."""

from __future__ import annotations

import pytest

from protocol.ids import JobId
from tests.sim.campaign import build
from tests.sim.faults import CALM
from tests.sim.liveness import demand
from tests.sim.world import World


@pytest.fixture(scope="session")
def quiet() -> tuple[World, list[JobId]]:
    """Some jobs have been done without any fault."""
    world, workload, trouble = build(2, peers=4, faults=CALM)
    world.run_until(60.0)
    trouble.end()
    workload.all_well = True
    jobs = [client.job for client in workload.clients if client.accepted]
    demand(world, jobs, within_s=120.0)
    return world, jobs
