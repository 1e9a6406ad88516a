"""One seed from chaos to quiet, and many seeds with a summary that proves that they were not vacuous.

Phases: chaos (safety holds throughout), heal (all faults end, everybody is started again), liveness (within
`LIVENESS_S` every job has ended, all views agree, nothing is left over).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal, TextIO

from protocol.effects import Notice
from protocol.events import DrainAsked, GraceEnded, UndrainAsked
from protocol.ids import Digest
from protocol.jobs.naming import expand
from tests.sim.checkers import Checkers
from tests.sim.faults import CALM, Faults
from tests.sim.liveness import demand
from tests.sim.losses import damage, damage_all, found_out, needed_blobs, roll_back, wipe
from tests.sim.roots import ROOT, DeliveredIsInPlace, File, Root
from tests.sim.trace import Trace
from tests.sim.workload import Workload
from tests.sim.world import Crashed, Host, Stuck, Unsafe, World

CHAOS_S = 60.0
DOWN_MAX = 4  # so many peers at most are down for good at once
LIVENESS_S = 600.0
Kind = Literal["ok", "crash", "safety", "liveness"]
EXIT_CODES: dict[Kind, int] = {"ok": 0, "crash": 3, "safety": 4, "liveness": 5}
# what a campaign must have seen, or it proves nothing
MUST_HAPPEN = (
    "datagrams lost", "datagrams doubled", "datagrams late", "datagrams blocked", "partitions", "links cut", "crashes",
    "failpoints", "restarts",
    "stream messages refused", "stream messages failed", "disk stalls", "commits lost", "commits that nobody heard of",
    "frames_leased", "frames_requeued", "duplicate_result", "frame_committed", "frame_failed",
    "fetches failed", "submissions refused: owner_elsewhere", "jobs accepted", "submissions retried",
    "frames committed by thieves", "wall clock jumps",
    "drains", "job_completed", "job_failed", "job_cancelled",
    "owners killed", "deaths for good", "disks wiped", "disks rolled back", "disks rolled back beyond a start",
    "originals of copied disks put back", "results lost with a disk", "frames_lost", "blobs damaged", "blobs found damaged",
    "damaged copies refused", "blob_healed", "frames_delivered", "delivery_conflict", "files in place",
    "files in place already", "files taken away", "output roots gone", "deliveries hindered: output_root_gone",
    "torn tails", "job_taken_over", "job_handed_over", "job_yielded", "late_facts", "winner_changed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one seed went. `counts` are what happened in it."""

    seed: int
    kind: Kind
    message: str
    digest: str
    counts: dict[str, int]
    steps: int
    virtual_s: float


class Trouble:
    """Brings a world's faults about, at times drawn from its dice."""

    def __init__(self, world: World, random: Random, root: Root) -> None:
        self._world = world
        self._root = root
        self._random = random
        faults = world.faults
        self._scrub_s = faults.scrub_s
        self._disks = Random(f"disks {faults!r}")  # their own dice: seeds that were pinned before keep their meaning
        self._on = True
        world.failpoint = self._failpoint
        if len(world.hosts) > 1:
            self._every(faults.link_every_s, self._cut_link)
            self._every(faults.partition_every_s, self._partition)
        self._every(faults.crash_every_s, self._crash)
        self._every(faults.jump_every_s, self._jump)
        self._every(faults.drain_every_s, self._drain)
        self._every(faults.snapshot_every_s, self._snapshot, self._disks)
        self._every(faults.damage_every_s, self._damage, self._disks)
        self._every(faults.root_gone_every_s, self._unmount, self._disks)
        self._every(faults.take_away_every_s, self._take_away, self._disks)

    def end(self) -> None:
        """Heal: no faults from now on, every cut is mended, everybody is started and takes work."""
        self._on = False
        world = self._world
        world.failpoint = lambda host, name: None
        world.faults = world.network.faults = CALM
        self._root.is_gone = False
        world.network.unblock(list(world.network.blocked), world.at)
        for host in world.hosts:
            if not host.is_up:
                self._restart(host)
            elif host.draining:
                self._undrain(host)
        world.trace.note(world.at, "healed")

    def _every(self, mean_s: float, what: Callable[[], None], dice: Random | None = None) -> None:
        if mean_s <= 0 or not self._on:
            return

        def again() -> None:
            if self._on:
                what()
                self._every(mean_s, what, dice)

        self._world.later((dice or self._random).expovariate(1 / mean_s), again)

    def _failpoint(self, host: Host, name: str) -> None:
        """Kill a host just before or after it does something; gossip of peers is left out, there is so much of it."""
        likelihood = self._world.faults.failpoint
        quiet = name.startswith(
            ("at Catalog", "at Access", "at Sync", "at Stream", "at PushPull", "before PutValue", "after PutValue")
        )
        if likelihood and not quiet and self._random.random() < likelihood:
            self._world.trace.count(f"failpoint: {name}")
            self._world.trace.count("failpoints")
            self._world.later(0.0, lambda: self._kill(host), host)

    def _kill(self, host: Host) -> None:
        self._world.crash(host)
        if self._random.random() < self._world.faults.for_good and sum(not one.is_up for one in self._world.hosts) <= DOWN_MAX:
            self._world.trace.count("deaths for good")
            return
        self._world.later(self._random.expovariate(1 / self._world.faults.restart_s), lambda: self._restart(host))

    def _cut_link(self) -> None:
        """Two peers cannot talk to each other, and everybody else can talk to both."""
        one, other = self._random.sample(range(len(self._world.hosts)), 2)
        pairs = [(one, other), (other, one)] if self._random.random() >= self._world.faults.asymmetric else [(one, other)]
        self._world.network.block(pairs)
        self._world.trace.count("links cut")
        self._world.trace.note(self._world.at, f"cut {pairs}")
        self._world.later(self._random.expovariate(1 / self._world.faults.link_s), lambda: self._mend(pairs))

    def _crash(self) -> None:
        up = self._world.up()
        if len(up) < 2:
            return
        owners = [host for host in up if _owns(host)] if self._random.random() < self._world.faults.owner_crash else []
        if owners:
            self._world.trace.count("owners killed")
        victims = up if self._random.random() < 0.03 else [self._random.choice(owners or up)]
        for host in victims:
            self._kill(host)

    def _restart(self, host: Host) -> None:
        if not host.is_up:
            self._world.trace.count("restarts")
            if self._random.random() < self._world.faults.wipe:
                wipe(self._world, host)
            self._swap(host)
            self._world.trace.note(self._world.at, f"{host.name} starts again")
            self._world.boot(host)
            for digest in host.disk.damaged:
                self._scrub(host, digest)

    def _snapshot(self) -> None:
        host = self._disks.choice(self._world.hosts)
        host.snapshot = host.disk.copied()

    def _damage(self) -> None:
        host = self._disks.choice(self._world.hosts)
        digests = needed_blobs(host)
        if not digests:
            return
        digest = self._disks.choice(digests)
        if self._disks.random() < 0.3:
            hosts = damage_all(self._world, digest)
        else:
            hosts = [host] if damage(self._world, host, digest) else []
        for one in hosts:
            self._scrub(one, digest)

    def _unmount(self) -> None:
        def back() -> None:
            self._root.is_gone = False

        self._root.is_gone = True
        self._world.trace.count("output roots gone")
        self._world.later(self._disks.expovariate(1 / 5.0), back)

    def _take_away(self) -> None:
        ours = [path for path, file in self._root.files.items() if file.job is not None]
        if ours:
            self._root.remove(self._disks.choice(ours))

    def _scrub(self, host: Host, digest: Digest) -> None:
        wait_s = self._disks.expovariate(1 / self._scrub_s)
        self._world.later(wait_s, lambda: found_out(self._world, host, digest), host)

    def _swap(self, host: Host) -> None:
        """Somebody puts a backup in the place of its disk, or lets it run on a copy and goes back to the original later."""
        faults = self._world.faults
        if host.original is not None:
            roll_back(self._world, host, host.original, what="originals of copied disks put back")
            host.original = None
        elif faults.roll_back and host.snapshot is not None and self._disks.random() < faults.roll_back:
            roll_back(self._world, host, host.snapshot.copied())
        elif faults.copied and self._disks.random() < faults.copied:
            host.original = host.disk.copied()

    def _partition(self) -> None:
        hosts = list(range(len(self._world.hosts)))
        self._random.shuffle(hosts)
        size = self._random.randint(1, len(hosts) - 1)
        ones, others = hosts[:size], hosts[size:]
        pairs = [(a, b) for a in ones for b in others]
        if self._random.random() >= self._world.faults.asymmetric:
            pairs += [(b, a) for a, b in pairs]
        else:
            self._world.trace.count("partitions in one direction")
        self._world.network.block(pairs)
        self._world.trace.count("partitions")
        self._world.trace.note(self._world.at, f"cut between {sorted(ones)} and {sorted(others)}")
        self._world.later(self._random.expovariate(1 / self._world.faults.partition_s), lambda: self._mend(pairs))

    def _mend(self, pairs: list[tuple[int, int]]) -> None:
        self._world.network.unblock(pairs, self._world.at)

    def _jump(self) -> None:
        self._random.choice(self._world.hosts).clock.jump(self._random.randint(-86_400_000, 86_400_000))
        self._world.trace.count("wall clock jumps")

    def _drain(self) -> None:
        host = self._random.choice(self._world.hosts)
        if not host.is_up or host.draining:
            return
        host.draining = True
        leave = self._random.random() < 0.4
        self._world.trace.count("drains")
        self._world.tell(host, DrainAsked(leave))
        wait_s = self._random.uniform(1, 15)
        if leave:
            self._world.later(wait_s, lambda: self._world.tell(host, GraceEnded()), host)
            self._world.later(wait_s + 2, lambda: self._leave(host), host)
        else:
            self._world.later(wait_s, lambda: self._undrain(host), host)

    def _undrain(self, host: Host) -> None:
        host.draining = False
        self._world.tell(host, UndrainAsked())

    def _leave(self, host: Host) -> None:
        if not host.draining:
            return
        self._world.trace.count("goodbyes")
        self._world.crash(host)
        self._world.later(self._random.uniform(0.5, 10), lambda: self._restart(host))


def build(
    seed: int,
    *,
    peers: int = 10,
    faults: Faults | None = None,
    jobs: int = 4,
    frames_max: int = 24,
    sealed: bool = True,
    file: TextIO | None = None,
) -> tuple[World, Workload, Trouble]:
    """A world with its clients, its checkers and its trouble, everybody started."""
    dice = Random(seed)
    drawn = Faults.draw(dice) if faults is None else faults
    world = World(dice.getrandbits(64), peers=peers, faults=drawn, sealed=sealed, trace=Trace(file))
    world.trace.note(0.0, repr(drawn))
    Checkers(world)
    root = Root(world)
    DeliveredIsInPlace(world, root)
    world.roots = lambda host: (ROOT,) if host.index % 4 == min(1, peers - 1) else ()
    world.on_notice = lambda host, notice: _committed_by_thief(world, host, notice)
    workload = Workload(
        world, Random(dice.getrandbits(64)), jobs=dice.randint(1, jobs), frames_max=frames_max, within_s=CHAOS_S / 2
    )
    _leave_files_about(workload, root, Random(f"foreign {drawn!r}"))
    for host in world.hosts:
        world.later(dice.uniform(0, 1.0), lambda host=host: None if host.is_up else world.boot(host))  # type: ignore[misc]
    return world, workload, Trouble(world, Random(dice.getrandbits(64)), root)


def _leave_files_about(workload: Workload, root: Root, random: Random) -> None:
    """Somebody else's files have names that frames are to have."""
    for client in workload.clients:
        if client.spec.destination is not None and random.random() < 0.3:
            frame = random.randint(1, 5)
            name = expand(client.spec.output, job=client.job[:12], name=client.spec.name, frame=frame)
            root.files[f"shots/{name}.png"] = File(f"somebody else's {frame}", None)


def run(
    seed: int, *, peers: int = 10, faults: Faults | None = None, sealed: bool = True, chaos_s: float = CHAOS_S,
    file: TextIO | None = None,
) -> Outcome:  # fmt: skip
    """One seed, from chaos to quiet."""
    world, workload, trouble = build(seed, peers=peers, faults=faults, sealed=sealed, file=file)
    kind: Kind = "ok"
    message = ""
    try:
        world.run_until(chaos_s)
        trouble.end()
        workload.all_well = True
        world.run_until(world.at + 10.0)
        demand(world, [client.job for client in workload.clients if client.accepted], within_s=LIVENESS_S)
        unheard = [client.number for client in workload.clients if not client.accepted]
        if unheard:
            raise Stuck(f"jobs {unheard} are still not accepted")
    except Crashed as error:
        kind, message = "crash", f"{error}"
        if file is not None:
            raise
    except Unsafe as error:
        kind, message = "safety", str(error)
    except Stuck as error:
        kind, message = "liveness", str(error)
    world.trace.note(world.at, f"{kind} {message}")
    return Outcome(seed, kind, message, world.trace.digest(), dict(world.trace.counts), world.trace.steps, world.at)


def _owns(host: Host) -> bool:
    """Whether a host owns a job that has not ended."""
    node = host.node
    return node is not None and any(
        job.owner == host.peer and job.fold.accepted is not None and not job.fold.is_closed for job in node.ledger._jobs.values()
    )


def _committed_by_thief(world: World, host: Host, notice: Notice) -> None:
    if notice.event == "frame_committed" and notice.fields["by"] != host.peer:
        world.trace.count("frames committed by thieves")


def vacuous(counts: Counter[str]) -> list[str]:
    """What should have happened in a campaign and did not."""
    return [what for what in MUST_HAPPEN if not counts[what]]
