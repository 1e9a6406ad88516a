"""`scripts/replay`: an engine's tape, one line per step, and its steps taken again by a fresh node.

A tape is a pickle: read only those of your own daemons. It is taken again when it is complete (it begins with the
peer's start) and holds no mesh key; otherwise it is only shown.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from peer.tape import Recording, Step
from protocol.effects import Effect
from protocol.events import Booted
from protocol.node import Node
from tests.sim.trace import Trace

UNREADABLE = (OSError, pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, TypeError, ValueError)


def show(steps: Sequence[Step], *, about: str = "") -> Trace:
    """Print the steps that mention `about` ('' = all); monotonic seconds as the daemon saw them."""
    trace = Trace(sys.stdout)
    for number, now, event, effects in steps:
        if about in repr((event, effects)):
            trace.steps = number - 1
            trace.step(now.monotonic_s, "", event, effects)
    return trace


def again(recording: Recording) -> int | None:
    """Feed a fresh node; the number of the first step whose effects differ, None when all are the same.

    A machine that raised raises again, from here."""
    assert recording.options is not None
    tokens = iter(recording.tokens)
    node = Node(replace(recording.options, token=lambda: next(tokens)))
    for number, now, event, effects in recording.steps:
        taken: list[Effect]
        if event is None:
            taken = node.on_deadline(now)
        else:
            taken = node.start(event, now) if isinstance(event, Booted) else node.handle(event, now)
        if taken != effects:
            return number
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code: 2 when the file is no tape, 3 when a step went another way."""
    parser = argparse.ArgumentParser(prog="scripts/replay", description=__doc__)
    parser.add_argument("file", type=Path, help="trace-*.pickle from a daemon's data folder")
    parser.add_argument("--about", default="", help="show only steps that mention this id, kind of event or effect")
    parser.add_argument("--quiet", action="store_true", help="only take the steps again")
    options = parser.parse_args(argv)
    try:
        recording = pickle.loads(options.file.read_bytes())
        if not isinstance(recording, Recording):
            raise ValueError("it holds something else")
    except UNREADABLE as fault:
        print(f"scripts/replay: {options.file} is no tape that this version can read: {fault}", file=sys.stderr)
        return 2
    if not options.quiet:
        show(recording.steps, about=options.about)
    if recording.options is None:
        print("scripts/replay: the tape does not begin with the peer's start, or its mesh has a key: shown only", file=sys.stderr)
        return 0
    parted = again(recording)
    if parted is not None:
        print(f"scripts/replay: step {parted} went another way than on the tape", file=sys.stderr)
        return 3
    print(f"scripts/replay: a fresh node took all {len(recording.steps)} steps as on the tape", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
