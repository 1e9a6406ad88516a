"""Plants mistakes and lets campaigns look for them: `python -m tests.sim.planting FOLDER NUMBER:FIRST:COUNT...`.

Each goes into a copy of `protocol/`; a forked child runs seeds on it until one of them does not go well. One line of JSON for
each: `{"number": 7, "seed": 12, "kind": "safety", "message": "..."}`, the seed being null when all went well.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.planting import TOP, copied, forked, mistake
from tests.sim.mistakes import MISTAKES

SOUND: Final = 0  # the number of no mistake at all
SEED_CPU_S: Final = 45.0  # the sound source takes some two seconds for a seed; a mistake may make facts for ever


@dataclass(frozen=True, slots=True)
class Job:
    """Look for one mistake (or for one that nobody has planted) in `count` seeds from `first` on."""

    number: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Found:
    """The first seed that did not go well, and what was said; None: all went well."""

    number: int
    seed: int | None
    kind: str
    message: str


def search(job: Job) -> int:
    """In a child: look, and print a line of JSON."""
    from tests.sim.campaign import run
    from tests.sim.world import Stuck

    def too_long(*_: object) -> None:
        raise Stuck(f"more than {SEED_CPU_S:g} s of computing: something goes round and round")

    signal.signal(signal.SIGVTALRM, too_long)
    row = Found(job.number, None, "ok", "")
    for seed in range(job.first, job.first + job.count):
        signal.setitimer(signal.ITIMER_VIRTUAL, SEED_CPU_S)
        outcome = run(seed)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if outcome.kind != "ok":
            row = Found(job.number, seed, outcome.kind, outcome.message)
            break
    print(json.dumps(asdict(row)), flush=True)
    return 0


def found(jobs: Sequence[Job], folder: Path, *, processes: int) -> list[Found]:
    """What becomes of all of them, in copies of the sources in `folder`. Raises `CalledProcessError` when a child raised."""
    shares = [share for share in (jobs[at::processes] for at in range(processes)) if share]
    running = []
    for at, share in enumerate(shares):
        texts = [f"{job.number}:{job.first}:{job.count}" for job in share]
        command = [sys.executable, "-m", "tests.sim.planting", str(folder / str(at)), *texts]
        running.append(subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, text=True))
    rows: list[Found] = []
    for process in running:
        out, _ = process.communicate()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        rows.extend(Found(**json.loads(line)) for line in out.splitlines())
    return sorted(rows, key=lambda row: row.number)


def main(arguments: Sequence[str]) -> int:
    """Plant one mistake after the other; 1 when a child raised."""
    folder = copied(Path(arguments[0]))
    raised = 0
    for text in arguments[1:]:
        job = Job(*map(int, text.split(":")))
        planted = MISTAKES.get(job.number)
        with nullcontext() if planted is None else mistake(folder, planted.file, planted.edits):
            raised |= forked(folder, partial(search, job)) != 0
    return int(raised)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
