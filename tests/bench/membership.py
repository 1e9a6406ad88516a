"""Membership beside serf's: our daemons and Debian's serf, under the same faults at the same moments on the same machine.

Everything runs in network namespaces that the run makes and that end with it, so root is needed. Both fleets stand side by
side and are struck together: what disturbs the machine disturbs both. The preset and serf's profile are both `lan`.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from tests.bench.fleets import Daemon, Fleet, Listener, Ours, Place, Serf
from tests.bench.measured import Row
from tests.e2e.hosts import make_key
from tests.e2e.netns import Alone, Namespace, lan, partition, why_not

TOP = Path(__file__).resolve().parents[2]
GIVEN_UP_S = 60.0
REFUSED_GOAL_S = {5: 2.0, 20: 2.5, 50: 3.0}
STOPPED = 4  # of the peers in the stall test, always the same: the others are healthy throughout
STOPPED_S, RUNNING_S = 6.0, 4.0
LOSS = 0.3
SIZES = (5, 20, 50)
PAIR_BYTES = 128 * 2**20  # one of ours and one of serf's, with room
PAIR_CORES = 0.02  # the same with nothing to do, and as much again for what the blows cost
OURS_PORT, SERF_PORT, PORT_STEP = 20_000, 30_000, 10  # below the ports that the system picks for callers


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how often. `quick` is for looking, not for judging."""

    kills: int
    trios: int
    joins: int
    idle_s: float
    faults_s: float
    cut_s: float


FULL = Effort(kills=7, trios=3, joins=20, idle_s=60, faults_s=600, cut_s=45)
QUICK = Effort(kills=3, trios=1, joins=4, idle_s=15, faults_s=40, cut_s=45)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark takes."""
    parser.add_argument(
        "--peers", type=_sizes, metavar="N,N", help="fleet sizes for kills (default 5,20,50; of those what this machine carries)"
    )
    parser.add_argument("--quick", action="store_true", help="few and short measurements")
    parser.add_argument("--only", type=_parts, default=tuple(PARTS), metavar="PART,PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--faults-s", type=float, metavar="SECONDS", help="length of the stall and loss tests (default 600)")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a fleet can have: `load` is the mean number of processes that run already."""

    cores: int
    free_bytes: int
    load: float

    @classmethod
    def this(cls) -> Machine:
        return cls(len(os.sched_getaffinity(0)), psutil.virtual_memory().available, os.getloadavg()[0])

    def refusal(self, count: int) -> str | None:
        """Why `count` of ours beside as many of serf's would measure this machine and not the daemons; None when they fit."""
        needed = count * PAIR_BYTES
        if needed > self.free_bytes:
            return f"{needed / 2**30:.1f} GiB of memory wanted, {self.free_bytes / 2**30:.1f} GiB are free"
        cores = count * PAIR_CORES
        if cores > self.cores - self.load:
            return f"{cores:.1f} cores wanted, {self.cores} are here and {self.load:.1f} of them busy"
        return None


def carried(sizes: Sequence[int], machine: Machine) -> tuple[int, ...]:
    """Those that the machine carries; why not the others is said. The smallest runs in any case."""
    refusals = {count: machine.refusal(count) for count in sizes if count > min(sizes)}
    for count, refusal in refusals.items():
        if refusal is not None:
            say(f"{count} peers are left out: {refusal} (--peers {count} insists)")
    return tuple(count for count in sizes if refusals.get(count) is None)


def run(*, options: argparse.Namespace, folder: Path) -> list[Row]:
    """Every part that was asked for."""
    reason = why_not()
    if reason is not None:
        raise SystemExit(f"the membership benchmark needs network namespaces: {reason}")
    effort = QUICK if options.quick else FULL
    if options.faults_s is not None:
        effort = Effort(effort.kills, effort.trios, effort.joins, effort.idle_s, options.faults_s, effort.cut_s)
    serf = subprocess.run([TOP / "scripts" / "get-serf"], capture_output=True, text=True, check=False, timeout=300)
    if serf.returncode != 0:
        raise SystemExit(serf.stderr)
    bench = Bench(folder, serf.stdout.strip(), effort)
    sizes = options.peers or carried(SIZES, Machine.this())
    rows: list[Row] = []
    for part in options.only:
        found = PARTS[part](bench, sizes)
        for row in found:
            say(f"{row.name}: {row.measured:.3g} {row.unit}, serf {row.beside or 0.0:.3g} {row.unit}")
        rows += found
    return rows


class Bench:
    """Makes fleets in namespaces and strikes them."""

    def __init__(self, folder: Path, serf: str, effort: Effort) -> None:
        self.folder = folder
        self.effort = effort
        self.random = random.Random(1)
        self.serf = serf
        self._count = 0

    @contextlib.contextmanager
    def fleets(self, count: int, *, loss: float = 0.0) -> Iterator[tuple[Namespace, list[Fleet]]]:
        """`count` of ours and of serf's on the loopback of one namespace, settled; then `loss` of all its packets."""
        with Alone() as space, contextlib.ExitStack() as stack:
            prefix = tuple(space.command())

            def place(first: int) -> Place:
                return Place(prefix, "127.0.0.1", first)

            listener = Listener()
            stack.callback(listener.close)
            self._count += 1
            here = self.folder / f"fleet{self._count}"
            fleets: list[Fleet] = [
                Ours(listener, here / "ours", lambda index: place(OURS_PORT + PORT_STEP * index)),
                Serf(listener, here / "serf", lambda index: place(SERF_PORT + PORT_STEP * index), self.serf),
            ]
            for fleet in fleets:
                stack.callback(fleet.close)
                say(f"starting {count} of {fleet.name}")
                fleet.start(count)
            if loss:
                lose(space, loss)
            yield space, fleets

    def victims(self, count: int, indexes: int) -> list[int]:
        """Different ones by chance, never the first, whom the others were told to join."""
        return self.random.sample(range(1, indexes), count)

    def calm(self) -> None:
        """Let start-up work end before the next blow, and shift it against the probe cycles."""
        time.sleep(2 + self.random.random())


def kills(bench: Bench, sizes: Sequence[int]) -> list[Row]:
    """kill -9, then SIGSTOP: to the first and the last observer."""
    rows: list[Row] = []
    for count in sizes:
        with bench.fleets(count) as (_, fleets):
            refused = [strike(bench, fleets, bench.victims(1, count), silent=False) for _ in range(bench.effort.kills)]
            silent = [strike(bench, fleets, bench.victims(1, count), silent=True) for _ in range(bench.effort.kills)]
        firsts, lasts = columns(refused, min), columns(refused, max)
        goal = REFUSED_GOAL_S.get(count, REFUSED_GOAL_S[50])
        rows.append(beside(f"{count}: kill -9, first observer", goal, firsts))
        rows.append(beside(f"{count}: kill -9, known to all", goal, lasts))
        firsts, lasts = columns(silent, min), columns(silent, max)
        rows.append(beside(f"{count}: SIGSTOP, first observer", 1.1 * median(firsts[1]), firsts))
        rows.append(beside(f"{count}: SIGSTOP, known to all", 1.1 * median(lasts[1]), lasts))
    return rows


def trios(bench: Bench, _sizes: Sequence[int]) -> list[Row]:
    """Three of five, half a second apart: when the last observer knows the third."""
    rows = []
    for silent, goal in ((False, 6.0), (True, 12.0)):
        found = []
        for _ in range(bench.effort.trios):
            with bench.fleets(5) as (_, fleets):
                found.append(strike(bench, fleets, bench.victims(3, 5), silent=silent, restart=False))
        name = "SIGSTOP" if silent else "kill -9"
        rows.append(beside(f"5: third quick death by {name}, slowest observer", goal, columns(found, max), worst=True))
    return rows


def strike(
    bench: Bench, fleets: Sequence[Fleet], victims: Sequence[int], *, silent: bool, restart: bool = True
) -> list[list[float]]:
    """Kill or stop the same ones in every fleet; per fleet the seconds until each observer knew the last one's death."""
    bench.calm()
    struck_s = 0.0
    gone: list[list[Daemon]] = [[] for _ in fleets]
    for number, victim in enumerate(victims):
        if number:
            time.sleep(0.5)
        struck_s = time.monotonic()
        for fleet, dead in zip(fleets, gone, strict=True):
            if silent:
                dead.append(fleet.daemons[victim])
                fleet.stop(victim)
            else:
                dead.append(fleet.kill(victim))
    delays = [fleet.delays(dead[-1].key, ("dead",), struck_s, GIVEN_UP_S) for fleet, dead in zip(fleets, gone, strict=True)]
    ranges = (f"{fleet.name} {each[0]:.2f}..{each[-1]:.2f} s" for fleet, each in zip(fleets, delays, strict=True))
    say(f"{'silent' if silent else 'refused'}: {', '.join(ranges)}")
    for fleet in fleets if restart else ():
        for victim in victims:
            if silent:
                fleet.kill(victim)
            fleet.wait_ready(fleet.launch(victim, [0]))
        fleet.settle()
    return delays


def joins(bench: Bench, _sizes: Sequence[int]) -> list[Row]:
    """A sixth joins five and leaves again, without and with loss: until it knows all, and all know it."""
    rows: list[Row] = []
    with bench.fleets(5) as (space, fleets):
        found = [join_and_leave(fleets, number) for number in range(bench.effort.joins)]
        joined = [[one[0] for one in each] for each in zip(*found, strict=True)]
        left = [[one[1] for one in each] for each in zip(*found, strict=True)]
        rows.append(beside("5: join, p95", 1.0, joined, share=0.95))
        rows.append(beside("5: graceful leave, known to all", 2.0, left))
        lose(space, LOSS)
        first = bench.effort.joins
        lossy = [join_and_leave(fleets, first + number) for number in range(bench.effort.joins)]
        joined = [[one[0] for one in each] for each in zip(*lossy, strict=True)]
        rows.append(beside("5: join at 30 % loss, p95", 5.0, joined, share=0.95))
    return rows


def join_and_leave(fleets: Sequence[Fleet], number: int) -> list[tuple[float, float]]:
    """Per fleet (seconds to join, seconds to leave) of a fresh daemon."""
    found = []
    for fleet in fleets:
        index = 10 + number
        daemon = fleet.launch(index, [0])
        fleet.wait_ready(daemon)
        fleet.wait(lambda fleet=fleet: fleet.agreed(fleet.daemons), GIVEN_UP_S, None)  # type: ignore[misc]
        joined_s = min(time.monotonic() - daemon.ready_s, GIVEN_UP_S)
        leaving_s = time.monotonic()
        fleet.leave(index)
        delays = fleet.delays(daemon.key, ("left", "dead"), leaving_s, GIVEN_UP_S)
        daemon.process.wait(GIVEN_UP_S)
        found.append((joined_s, delays[-1]))
    say(
        "join "
        + ", ".join(f"{fleet.name} {one[0]:.2f} s, leave {one[1]:.2f} s" for fleet, one in zip(fleets, found, strict=True))
    )
    return found


def idle(bench: Bench, _sizes: Sequence[int]) -> list[Row]:
    """Bytes, CPU and memory of each of 20 that have nothing to do."""
    with bench.fleets(20) as (space, fleets):
        time.sleep(10)
        for first in (OURS_PORT, SERF_PORT):
            for kind, side in (("udp", "--dport"), ("tcp", "--dport"), ("tcp", "--sport")):
                space.iptables("-A", "INPUT", "-p", kind, side, f"{first}:{first + PORT_STEP * 20}")
        began = [[daemon.cpu_s() for daemon in fleet.daemons.values()] for fleet in fleets]
        time.sleep(bench.effort.idle_s)
        ended = [[daemon.cpu_s() for daemon in fleet.daemons.values()] for fleet in fleets]
        sent = traffic(space)
        memory = [[daemon.resident_bytes() / 2**20 for daemon in fleet.daemons.values()] for fleet in fleets]
    seconds = bench.effort.idle_s
    bytes_each = [[sent[first] / 20 / seconds / 1_000] for first in (OURS_PORT, SERF_PORT)]
    busy = [
        [100 * (late - early) / seconds for early, late in zip(*pair, strict=True)] for pair in zip(began, ended, strict=True)
    ]
    return [
        beside("20: idle, sent per peer", 1.0, bytes_each, unit="kB/s"),
        beside("20: idle, CPU per peer", 1.0, busy, unit="%"),
        beside("20: memory per peer", 90.0, memory, unit="MiB"),
    ]


def traffic(space: Namespace) -> dict[int, int]:
    """Bytes that each fleet has sent since its counting rules were made, headers included; no packet fits two of the rules."""
    found = {OURS_PORT: 0, SERF_PORT: 0}
    for line in space.run("iptables", "-w", "-nvxL", "INPUT").splitlines():
        for first in found:
            if f"pts:{first}:" in line:
                found[first] += int(line.split()[1])
    return found


def stalls(bench: Bench, _sizes: Sequence[int]) -> list[Row]:
    """4 of 20 are stopped for 6 s at a time: how many deaths of the 16 healthy ones were declared by anybody."""
    with bench.fleets(20) as (_, fleets):
        bench.calm()
        since_s = time.monotonic()
        while time.monotonic() - since_s < bench.effort.faults_s:
            for act, seconds in ((Fleet.stop, STOPPED_S), (Fleet.go_on, RUNNING_S)):
                for fleet in fleets:
                    for index in range(20 - STOPPED, 20):
                        act(fleet, index)
                time.sleep(seconds)
        healthy = [[fleet.daemons[index].key for index in range(20 - STOPPED)] for fleet in fleets]
        return [false_deaths(f"20: false deaths, 4 stopped {STOPPED_S:g} s at a time", fleets, healthy, since_s)]


def losses(bench: Bench, _sizes: Sequence[int]) -> list[Row]:
    """30 % of all packets are lost: how many deaths were declared, none of them true."""
    with bench.fleets(20, loss=LOSS) as (_, fleets):
        since_s = time.monotonic()
        time.sleep(bench.effort.faults_s)
        everybody = [[daemon.key for daemon in fleet.daemons.values()] for fleet in fleets]
        return [false_deaths("20: false deaths at 30 % loss", fleets, everybody, since_s)]


def false_deaths(name: str, fleets: Sequence[Fleet], keys: Sequence[Iterable[str]], since_s: float) -> Row:
    """Declared by anybody; the raw figures are how many different ones it hit."""
    found = [fleet.deaths(these, since_s=since_s) for fleet, these in zip(fleets, keys, strict=True)]
    counts = [[float(len(deaths)), float(len({one.about for one in deaths}))] for deaths in found]
    say(f"{name}: {counts}")
    name += f", {time.monotonic() - since_s:.0f} s"
    return Row(name, 0.0, counts[0][0], "", {"ours (said, hit)": counts[0], "serf (said, hit)": counts[1]}, counts[1][0])


def heals(bench: Bench, _sizes: Sequence[int]) -> list[Row]:
    """Two and two of four, cut for longer than the dead are gossiped to; then until everybody holds everybody for alive."""
    with lan(4) as hosts, contextlib.ExitStack() as stack:
        listener = Listener()
        stack.callback(listener.close)
        key = make_key(bench.folder / "mesh.key")

        def places(port: int) -> Callable[[int], Place]:
            return lambda index: Place(tuple(hosts[index].command()), hosts[index].address, port)

        ours = Ours(listener, bench.folder / "cut-ours", places(OURS_PORT))
        ours.flags = ("--mesh-key-file", str(key))
        serf = Serf(listener, bench.folder / "cut-serf", places(SERF_PORT), bench.serf)
        fleets: list[Fleet] = [ours, serf]
        for fleet in fleets:
            stack.callback(fleet.close)
            fleet.start(4)
        bench.calm()
        partition(hosts[:2], hosts[2:])
        for fleet in fleets:
            fleet.wait(lambda fleet=fleet: is_cut(fleet), 120, lambda: "the cut was not noticed")  # type: ignore[misc]
        say("both sides have given each other up")
        time.sleep(bench.effort.cut_s)
        healed_s = time.monotonic()
        for host in hosts:
            host.well()
        seconds: list[list[float]] = []
        for fleet in fleets:
            until_s = GIVEN_UP_S - (time.monotonic() - healed_s)
            fleet.wait(lambda fleet=fleet: fleet.agreed(fleet.daemons), until_s, None)  # type: ignore[misc]
            seconds.append([time.monotonic() - healed_s])
    return [beside(f"2+2: heal after {bench.effort.cut_s:g} s of dead silence", 10.0, seconds)]


def is_cut(fleet: Fleet) -> bool:
    """Whether every one of the first two holds both others for dead, and the other way round."""
    sides = ([0, 1], [2, 3])
    return all(
        fleet.daemons[one].view.get(fleet.daemons[other].key) == "dead"
        for mine, theirs in (sides, sides[::-1])
        for one in mine
        for other in theirs
    )


def lose(space: Namespace, share: float) -> None:
    """Of every packet on the loopback of `space`."""
    space.iptables("-A", "INPUT", "-m", "statistic", "--mode", "random", "--probability", str(share), "-j", "DROP")


def columns(found: Sequence[Sequence[Sequence[float]]], pick: Callable[[Sequence[float]], float]) -> list[list[float]]:
    """Per fleet what `pick` takes from each blow's delays."""
    return [[pick(delays) for delays in fleet] for fleet in zip(*found, strict=True)]


def beside(
    name: str, goal: float, figures: Sequence[Sequence[float]], *, unit: str = "s", share: float = 0.5, worst: bool = False
) -> Row:
    """Ours and serf's: the median, another quantile, or the worst."""
    ours, serf = (max(each) if worst else quantile(each, share) for each in figures)
    return Row(name, goal, ours, unit, {"ours": list(figures[0]), "serf": list(figures[1])}, serf)


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest rank; the median is the mean of the middle two."""
    return median(values) if share == 0.5 else sorted(values)[math.ceil(share * len(values)) - 1]


def say(text: str) -> None:
    """Progress, for who waits."""
    print(f"  {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


PARTS = {"kills": kills, "trios": trios, "joins": joins, "idle": idle, "stalls": stalls, "losses": losses, "heals": heals}


def _sizes(text: str) -> tuple[int, ...]:
    words = text.split(",")
    if not all(word.isdigit() and 3 <= int(word) <= 100 for word in words):
        raise argparse.ArgumentTypeError("numbers from 3 to 100 with commas between them")
    return tuple(int(word) for word in words)


def _parts(text: str) -> tuple[str, ...]:
    words = tuple(text.split(","))
    if not set(words) <= set(PARTS):
        raise argparse.ArgumentTypeError(f"of {', '.join(PARTS)}")
    return words
