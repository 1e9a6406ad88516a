"""A host dies before and after each step that `peer.failpoints` names: nothing is lost, nothing is doubled."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from peer.failpoints import NAMES
from protocol.events import DrainAsked
from tests.sim.campaign import Trouble, build
from tests.sim.faults import Faults
from tests.sim.liveness import demand
from tests.sim.workload import Workload
from tests.sim.world import Host, World

SEEDS = range(2, 10)  # some of them, until one comes there
BOTH = ("before Accepted", "after Accepted", "at Facts", "at FetchBlobs", "before FrameEnded", "after FrameEnded", "after Closed")
OWNERS = (*BOTH, "at Reply", "at Granted", "at Reported", "before Closed")
OTHERS = (*BOTH, "at FactsHeld", "at Verify", "at Report")
SUCCESSION = ("before Owner", "after Owner", "at Granted")  # the facts of the new owner, and the first work that it hands out
OUTBOX = ("before Outbox", "after Outbox")
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


STEPS = {  # what the names of the shell are called here; a blob is kept at once here, between its fetch and its verification
    "accept fsync before": "before Accepted", "accept fsync after": "after Accepted", "accept reply before": "at Reply",
    "replicate before": "at Facts", "replicate after": "at Facts",
    "replica fsync before": "before Accepted", "replica fsync after": "after Accepted",
    "steal grant before": "at Granted", "steal grant after": "at Granted",
    "fact commit before": "before FrameEnded", "fact commit after": "after FrameEnded",
    "takeover before": "before Owner", "takeover after": "after Owner",
    "hand-over before": "before Owner", "hand-over after": "after Owner",
    "outbox before": "before Outbox", "outbox after": "after Outbox",
    "blob commit before": "at FetchBlobs", "blob commit after": "at Verify",
    "output temporary before": "output temporary before", "output temporary after": "output temporary after",
    "output rename before": "output rename before", "output rename after": "output rename after",
    "delivered commit before": "before Delivered", "delivered commit after": "after Delivered",
}  # fmt: skip


def test_every_place_where_a_peer_may_be_killed_is_one_where_a_host_is():
    assert set(STEPS) == set(NAMES)
    assert set(STEPS.values()) <= {*OWNERS, *OTHERS, *SUCCESSION, *OUTBOX, *DELIVERY}


def is_step(name: str, step: str) -> bool:
    """Whether that is the step: of what is persisted together, the acceptance of a job is another one."""
    return name.startswith(step) and ("Accepted" in step or "Accepted" not in name)


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


@pytest.mark.parametrize(("step", "owner"), [*((step, True) for step in OWNERS), *((step, False) for step in OTHERS)])
def test_an_owner_or_another_host_dies(step: str, owner: bool):
    assert any(work_goes_well(seed, step, owner=owner) for seed in SEEDS), "nobody ever came there"


def work_goes_well(seed: int, step: str, *, owner: bool) -> bool:
    """Whether somebody came there, and died; all was well then."""
    world, workload, trouble = build(seed, peers=4, faults=Faults())
    first = workload.clients[0].target
    died = die_once(world, trouble, step, which=lambda host: (host is first) == owner)
    world.run_until(60.0)
    if died:
        all_is_well(world, workload, trouble)
    return bool(died)


@pytest.mark.parametrize("way", ["takeover", "hand-over"])
@pytest.mark.parametrize("step", SUCCESSION)
def test_an_heir_dies(step: str, way: str):
    assert any(succession_goes_well(seed, step, way) for seed in SEEDS), "nobody ever came there"


@pytest.mark.parametrize("step", ["before Owner", "after Owner"])
def test_an_owner_that_hands_over_dies(step: str):
    assert any(succession_goes_well(seed, step, "hand-over", heir=False) for seed in SEEDS), "nobody ever came there"


@pytest.mark.parametrize("step", OUTBOX)
def test_a_worker_that_keeps_a_report_dies(step: str):
    seeds = range(2, 30)
    assert any(succession_goes_well(seed, step, "takeover", stragglers=0.3) for seed in seeds), "nobody ever came there"


def succession_goes_well(seed: int, step: str, way: str, *, heir: bool = True, stragglers: float = 1.0) -> bool:
    """Whether an heir, or the owner that hands over, came there, and died; all was well then."""
    world, workload, trouble = build(seed, peers=4, faults=Faults(straggler=stragglers))
    owner = owner_of_an_open_job(world)
    died = die_once(world, trouble, step, which=lambda host: (host is not owner) == heir)
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
