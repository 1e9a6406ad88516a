"""The root of the simulator keeps the publish rule, and the checker of deliveries bites."""

from __future__ import annotations

import pytest

from protocol.effects import Deliver
from protocol.events import ControlAsked, DeliverEnded
from protocol.ids import JobId, RequestId, Ticket
from protocol.jobs.parcels import Parcel, Placed
from protocol.jobs.results import Output
from tests.sim.campaign import build
from tests.sim.commits import Outcome
from tests.sim.farm import digest_of
from tests.sim.faults import Faults
from tests.sim.liveness import demand
from tests.sim.roots import ROOT, DeliveredIsInPlace, File, Root, paths_of, sweeper
from tests.sim.world import Host, Unsafe, World

JOB = JobId("ab" * 16)


def output(generation: int) -> Output:
    return Output("main", "1.png", digest_of(generation), digest_of("pixels", generation), 10, 1, 1, 3, "PNG")


def parcel(generation: int, *replaces: int) -> Parcel:
    older = tuple(digest_of("pixels", one) for one in replaces)
    return Parcel(1, generation, ("1.png",), (output(generation),), older)


class Bench:
    """One host with a root, and what it has been told."""

    def __init__(self) -> None:
        self.world = World(1, peers=1)
        self.root = Root(self.world)
        self.host = self.world.hosts[0]
        self.ended: list[DeliverEnded] = []
        self.world.on_step.append(lambda host, event, effects: self._heard(event))
        self.world.boot(self.host)

    def _heard(self, event: object) -> None:
        if isinstance(event, DeliverEnded):
            self.ended.append(event)

    def put(self, one: Parcel, *, sweep: bool = False) -> DeliverEnded:
        """What came of delivering it."""
        for item in one.outputs:
            self.host.disk.keep(item.digest, item.size)
        self.world.deliver(self.host, Deliver(Ticket(f"{sweeper(self.host, JOB)}-1"), JOB, ROOT, "shots", sweep, (one,)))
        self.world.run_until(self.world.at + 1.0)
        return self.ended.pop()


def test_a_lower_generation_gives_way_and_anything_else_stays():
    bench = Bench()
    assert bench.put(parcel(0)).placed == (Placed(1, 0),)
    assert bench.put(parcel(0)).placed == (Placed(1, 0),)
    assert bench.put(parcel(1, 0)).placed == (Placed(1, 1),)
    assert bench.root.files == {"shots/1.png": File(digest_of("pixels", 1), JOB, 1, 1)}
    assert bench.put(parcel(2, 0)).placed == (Placed(1, 2, ("1.png",)),)
    assert bench.root.files["shots/1.png"].generation == 1
    assert bench.root.temporaries == {}


def test_a_sweep_only_looks():
    bench = Bench()
    assert bench.put(parcel(0), sweep=True).placed == ()
    bench.put(parcel(0))
    assert bench.put(parcel(0), sweep=True).placed == (Placed(1, 0),)
    bench.root.remove("shots/1.png")
    assert bench.put(parcel(0), sweep=True).placed == ()
    assert bench.root.looked_at["shots/1.png", sweeper(bench.host, JOB), 0] > bench.root.removed["shots/1.png"]


def test_to_a_sweep_an_older_generation_is_not_the_frame():
    bench = Bench()
    bench.put(parcel(0))
    assert bench.put(parcel(1, 0), sweep=True).placed == ()
    assert bench.root.files["shots/1.png"].generation == 0
    bench.put(parcel(1, 0))
    assert bench.put(parcel(1, 0, 1), sweep=True).placed == (Placed(1, 1),)
    bench.root.files["shots/1.png"] = File("else", None)
    assert bench.put(parcel(1, 0), sweep=True).placed == (Placed(1, 1),)


def test_what_hinders_is_said_and_a_damaged_blob_is_found_out():
    bench = Bench()
    bench.root.is_gone = True
    assert bench.put(parcel(0)).code == "output_root_gone"
    bench.root.is_gone = False
    bench.host.disk.keep(output(0).digest, 10)
    bench.host.disk.damaged[output(0).digest] = None
    bench.world.deliver(bench.host, Deliver(Ticket("t"), JOB, ROOT, "shots", sweep=False, parcels=(parcel(0),)))
    bench.world.run_until(bench.world.at + 1.0)
    assert bench.ended.pop().code == "output_unreachable"
    assert output(0).digest not in bench.host.disk.blobs
    assert bench.root.files == {}


@pytest.mark.parametrize("step", ["output temporary after", "output rename before"])
def test_a_host_that_dies_leaves_at_most_a_temporary_file_which_the_next_batch_clears(step: str):
    bench = Bench()

    def die(host: Host, name: str) -> None:
        if name == step:
            bench.world.later(0.0, lambda: bench.world.crash(host), host)

    bench.world.failpoint = die
    bench.host.disk.keep(output(0).digest, 10)
    bench.world.deliver(bench.host, Deliver(Ticket("t"), JOB, ROOT, "shots", sweep=False, parcels=(parcel(0),)))
    bench.world.run_until(bench.world.at + 1.0)
    assert (bench.root.files, list(bench.root.temporaries.values()), bench.ended) == ({}, [JOB], [])
    bench.world.failpoint = lambda host, name: None
    bench.world.boot(bench.host)
    assert bench.put(parcel(0)).placed == (Placed(1, 0),)
    assert bench.root.temporaries == {}


def test_the_checker_sees_what_is_missing_wrong_or_written_over(monkeypatch: pytest.MonkeyPatch):
    world, workload, trouble = build(2, peers=4, faults=Faults(deliver=1.0))
    watching = [getattr(one, "__self__", None) for one in world.on_step]
    [checker] = [one for one in watching if isinstance(one, DeliveredIsInPlace)]
    world.run_until(60.0)
    trouble.end()
    demand(world, [client.job for client in workload.clients if client.accepted], within_s=120.0)
    root = checker._root
    owned = [(one, fold) for one in world.hosts if one.node for fold in one.node.ledger.folds() if fold.fence.peer == one.peer]
    host, fold = next((one, fold) for one, fold in owned if fold.is_closed and set(fold.winners) - set(fold.conflicts))
    winner = fold.winners[min(set(fold.winners) - set(fold.conflicts))]
    [path] = paths_of(fold, winner)
    file = root.files[path]
    checker.closed(host, fold, "completed", Outcome(fold))
    checker.written(host, path, None, file)
    for before in (File("else", None), file):
        with pytest.raises(Unsafe, match=f"writes {path} of generation 0 over"):
            checker.written(host, path, before, file)
    with pytest.raises(Unsafe, match="which nobody has committed"):
        checker.written(host, path, None, File("else", file.job, file.frame, file.generation))
    monkeypatch.setitem(root.files, path, File("else", None))
    with pytest.raises(Unsafe, match=f"and at {path} is"):
        checker.closed(host, fold, "completed", Outcome(fold))
    monkeypatch.setitem(root.files, path, File("older", file.job, file.frame, file.generation - 1))
    with pytest.raises(Unsafe, match=f"and at {path} is"):
        checker.closed(host, fold, "completed", Outcome(fold))
    with monkeypatch.context() as late:
        late.setitem(root.named, path, world.at + 1.0)
        checker.closed(host, fold, "completed", Outcome(fold))  # it was put there after the last look
        late.setitem(root.looked_at, (path, sweeper(host, fold.job), winner.generation), world.at + 2.0)
        with pytest.raises(Unsafe, match=f"and at {path} is"):
            checker.closed(host, fold, "completed", Outcome(fold))
    monkeypatch.delitem(root.files, path)
    checker.closed(host, fold, "completed", Outcome(fold))  # somebody has closed it before, and this one passes that on
    monkeypatch.setattr(checker, "_closed", {})
    with pytest.raises(Unsafe, match=f"and {path} is not in the root"):
        checker.closed(host, fold, "completed", Outcome(fold))
    checker._closed.clear()
    monkeypatch.setitem(root.removed, path, world.at)
    checker.closed(host, fold, "completed", Outcome(fold))
    checker._closed.clear()
    monkeypatch.delitem(root.looked_at, (path, sweeper(host, fold.job), winner.generation))
    with pytest.raises(Unsafe, match=f"and has not looked for {path}"):
        checker.closed(host, fold, "completed", Outcome(fold))


def test_an_older_generation_that_was_put_back_gives_way_before_its_job_is_closed():
    world, workload, trouble = build(3, peers=4, faults=Faults(deliver=1.0))
    watching = [getattr(one, "__self__", None) for one in world.on_step]
    [root] = [one._root for one in watching if isinstance(one, DeliveredIsInPlace)]
    world.run_until(60.0)
    trouble.end()
    jobs = [client.job for client in workload.clients if client.accepted]
    demand(world, jobs, within_s=120.0)
    judge, put_back = root.on_write, dict[str, File]()

    def by_an_owner_that_knows_less(host: Host, path: str, before: File | None, file: File) -> None:
        judge(host, path, before, file)
        if before is not None and path not in put_back:
            put_back[path] = before
            world.later(0.001, lambda: root.files.update({path: before}))

    root.on_write = by_an_owner_that_knows_less
    owned = [(one, fold) for one in world.hosts if one.node for fold in one.node.ledger.folds() if fold.fence.peer == one.peer]
    for host, fold in owned:
        world.tell(host, ControlAsked(RequestId(f"again {fold.job}"), fold.job, "retry", "", None, include_done=True))
    demand(world, jobs, within_s=120.0)
    assert put_back
    assert world.trace.counts["files found older in a sweep"] == len(put_back)
    assert not [path for path, older in put_back.items() if root.files[path] == older]
