"""`scripts/simulate`: many seeds with a summary, or one seed with its trace. Exit codes are in the help text."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

from tests.sim import swarm
from tests.sim.campaign import EXIT_CODES, Kind, Outcome, run, vacuous
from tests.sim.faults import Faults
from tests.sim.mistakes import MISTAKES
from tests.sim.planting import Job, found

SEEDS_THAT_PROVE = 40  # with fewer a kind of fault may be missing by chance
VACUOUS = 6
UNNOTICED = 8
EPILOG = """exit codes: 0 every seed went well; 3 a node crashed; 4 something happened that must never happen; 5 something that
must happen did not; 6 all went well, but some kind of fault never happened; 7 a swarm ran out of time or memory; 8 a planted
mistake was not found. Of several kinds the lowest code counts."""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__, epilog=EPILOG)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds (default 200)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--seed", type=int, help="this seed alone")
    parser.add_argument(
        "--peers",
        type=int,
        default=10,
        help=f"peers in the mesh (default 10); from {swarm.PEERS_MIN} on membership alone: one joins, one dies",
    )
    parser.add_argument("--processes", type=int, default=2, help="seeds at once (default 2)")
    parser.add_argument("--unsealed", action="store_true", help="leave out codec and seal: faster, and weaker")
    parser.add_argument(
        "--planted", action="store_true", help="plant each known mistake in ledger and scheduling, and say which seed finds it"
    )
    parser.add_argument("--trace", type=Path, help="with --seed: write one line per step into this file")
    return parser.parse_args(argv)


def one(options: argparse.Namespace) -> int:
    """One seed, perhaps with its trace."""
    if options.trace is None:
        outcome = run(options.seed, peers=options.peers, sealed=not options.unsealed)
    else:
        with options.trace.open("w", encoding="utf-8") as file:
            outcome = run(options.seed, peers=options.peers, sealed=not options.unsealed, file=file)
    show(Counter(outcome.counts))
    print(f"{outcome.steps} steps, {outcome.virtual_s:.0f} virtual seconds, digest {outcome.digest}")
    if outcome.kind != "ok":
        complain(outcome, options)
    return EXIT_CODES[outcome.kind]


def _run(job: tuple[int, int, bool]) -> Outcome:
    seed, peers, sealed = job
    return run(seed, peers=peers, sealed=sealed)


def many(options: argparse.Namespace) -> int:
    """A campaign."""
    began = time.perf_counter()
    counts: Counter[str] = Counter()
    kinds: Counter[Kind] = Counter()
    jobs = [(seed, options.peers, not options.unsealed) for seed in range(options.first, options.first + options.seeds)]
    with ProcessPoolExecutor(options.processes) as pool:
        for outcome in pool.map(_run, jobs):
            counts.update(outcome.counts)
            kinds[outcome.kind] += 1
            if outcome.kind != "ok":
                complain(outcome, options)
    show(counts)
    seconds = time.perf_counter() - began
    print(
        f"{len(jobs)} seeds of {options.peers} peers in {seconds:.0f} s: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}"
    )
    missing = vacuous(counts)
    bad = [EXIT_CODES[kind] for kind in kinds if kind != "ok"]
    if missing and len(jobs) >= SEEDS_THAT_PROVE:
        print(f"this proves little: {', '.join(missing)} never happened")
        bad.append(VACUOUS)
    return min(bad, default=0)


def plant(options: argparse.Namespace) -> int:
    """Every planted mistake, and the first seed that finds it."""
    began = time.perf_counter()
    jobs = [Job(number, options.first, options.seeds) for number in MISTAKES]
    with tempfile.TemporaryDirectory() as folder:
        rows = found(jobs, Path(folder), processes=options.processes)
    for row in rows:
        where = "not found" if row.seed is None else f"seed {row.seed:3}, {row.kind}: {row.message[:120]}"
        print(f"{row.number:3} {MISTAKES[row.number].what}\n    {where}")
    unnoticed = sum(row.seed is None for row in rows)
    seconds = time.perf_counter() - began
    print(f"{len(rows) - unnoticed} of {len(rows)} planted mistakes found within {options.seeds} seeds, in {seconds:.0f} s")
    return UNNOTICED if unnoticed else 0


def complain(outcome: Outcome, options: argparse.Namespace) -> None:
    """A failed seed, how to see it again, and the faults that it drew."""
    print(f"seed {outcome.seed}: {outcome.kind}: {outcome.message}")
    print(f"  again: scripts/simulate --seed {outcome.seed} --peers {options.peers} --trace trace-{outcome.seed}.txt")
    print(f"  {Faults.draw(Random(outcome.seed))}", flush=True)


def show(counts: Counter[str]) -> None:
    """What happened, and how often."""
    for what, number in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        print(f"{number:9} {what}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code."""
    options = arguments(argv)
    if options.planted:
        return plant(options)
    if options.peers >= swarm.PEERS_MIN:
        return swarm.main(options.peers, seed=options.seed or options.first)
    return many(options) if options.seed is None else one(options)


if __name__ == "__main__":
    sys.exit(main())
