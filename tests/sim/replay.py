"""`scripts/replay`: an engine's trace, one line per step, as the simulator writes its own.

A trace is a pickle: read only traces of your own daemons. Tokens and keys are drawn from real entropy and stand in no
trace, so that its steps can be read, and cannot be made to happen again.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.sim.trace import Trace


def show(steps: Sequence[tuple[int, Any, Any, list[Any]]], *, about: str = "") -> Trace:
    """Print the steps that mention `about` ('' = all); monotonic seconds as the daemon saw them."""
    trace = Trace(sys.stdout)
    for number, now, event, effects in steps:
        if about in repr((event, effects)):
            trace.steps = number - 1
            trace.step(now.monotonic_s, "", event, effects)
    return trace


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code: 2 when the file is no trace."""
    parser = argparse.ArgumentParser(prog="scripts/replay", description=__doc__)
    parser.add_argument("file", type=Path, help="trace-*.pickle from a daemon's data folder")
    parser.add_argument("--about", default="", help="only steps that mention this id, kind of event or effect")
    options = parser.parse_args(argv)
    try:
        steps = pickle.loads(options.file.read_bytes())
        show(steps, about=options.about)
    except (OSError, pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, TypeError, ValueError) as fault:
        print(f"scripts/replay: {options.file} is no trace that this version can read: {fault}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
