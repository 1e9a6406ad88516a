"""A host dies before and after each step of taking a job over, and of delivering it: nothing is lost, nothing is doubled."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.events import DrainAsked
from tests.sim.campaign import Trouble, build
from tests.sim.faults import Faults
from tests.sim.liveness import demand
from tests.sim.workload import Workload
from tests.sim.world import Host, World

SEEDS = range(2, 10)  # some of them, until one comes there
SUCCESSION = ("before Owner", "after Owner", "at Granted")  # the facts of the new owner, and the first work that it hands out
DELIVERY = (
    "output temporary before",
    "output temporary after",
    "output rename before",
    "output rename after",
    "at Carry",
    "at Carried",
    "at Deliver",
    "before Delivered",
    "after Delivered",
)


def is_step(name: str, step: str) -> bool:
    """Whether that is the step: of what is persisted together, the acceptance of a job is another one."""
    return name.startswith(step) and "Accepted" not in name


def die_once(world: World, trouble: Trouble, step: str, *, which: Callable[[Host], bool] = lambda host: True) -> list[str]:
    """Who is the first to come there is killed, and starts again; the list fills with its name."""
    died: list[str] = []

    def reach(host: Host, name: str) -> None:
        if not died and is_step(name, step) and which(host):
            died.append(host.name)
            world.later(0.0, lambda: world.crash(host), host)
            world.later(5.0, lambda: trouble._restart(host))

    world.failpoint = reach
    return died


def all_is_well(world: World, workload: Workload, trouble: Trouble) -> None:
    trouble.end()
    workload.all_well = True
    world.run_until(world.at + 10.0)
    assert all(client.accepted for client in workload.clients)
    demand(world, [client.job for client in workload.clients], within_s=300.0)


def owner_of_an_open_job(world: World) -> Host:
    """Of some job that is under way, and recorded on more than one host."""
    while world.at < 120.0:
        world.run_until(world.at + 0.05)
        for host in world.hosts:
            for fold in host.node.ledger.folds() if host.node is not None else ():
                if fold.fence.peer == host.peer and not fold.is_closed and len(fold.replicas) > 1 and fold.frames is not None:
                    return host
    raise AssertionError("no job was ever open on two hosts")


@pytest.mark.parametrize("way", ["takeover", "hand-over"])
@pytest.mark.parametrize("step", SUCCESSION)
def test_an_heir_dies(step: str, way: str):
    assert any(succession_goes_well(seed, step, way) for seed in SEEDS), "nobody ever came there"


def succession_goes_well(seed: int, step: str, way: str) -> bool:
    """Whether an heir came there, and died; all was well then."""
    world, workload, trouble = build(seed, peers=4, faults=Faults(straggler=1.0))
    owner = owner_of_an_open_job(world)
    died = die_once(world, trouble, step, which=lambda host: host is not owner)
    if way == "takeover":
        world.crash(owner)
        world.later(40.0, lambda: trouble._restart(owner))
    else:
        owner.draining = True
        world.tell(owner, DrainAsked(leave=False))
    world.run_until(world.at + 60.0)
    if died:
        all_is_well(world, workload, trouble)
        assert world.trace.counts["job_taken_over" if way == "takeover" else "job_handed_over"] >= 1
    return bool(died)


@pytest.mark.parametrize("step", DELIVERY)
def test_a_carrier_or_its_owner_dies(step: str):
    assert any(delivery_goes_well(seed, step) for seed in SEEDS), "nobody ever came there"


def delivery_goes_well(seed: int, step: str) -> bool:
    """Whether somebody came there, and died; all was well then."""
    world, workload, trouble = build(seed, peers=4, faults=Faults(deliver=1.0))
    died = die_once(world, trouble, step)
    world.run_until(60.0)
    if died:
        all_is_well(world, workload, trouble)
        assert world.trace.counts["files in place"] >= 1
    return bool(died)
