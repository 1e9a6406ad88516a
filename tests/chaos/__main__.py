"""`scripts/chaos`: a campaign, its report on stdout, and 1 when a promise was broken."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.chaos import campaign
from tests.chaos.faults import WEIGHTS
from tests.chaos.report import written

EPILOG: Final = """\
examples:
  scripts/chaos --minutes 10 --blender-frames 300       as root: network namespaces, a small disk, everything
  scripts/chaos --minutes 2 --seed 7 --only kill --only partition --keep

Exit codes: 0 every promise was kept, 1 one was broken, 2 usage. A seed draws the same faults and the same jobs again; when
exactly they meet is up to the machine, so that a violation may need some runs to come back."""


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description="Real peers under real faults, judged by what their clients were promised.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults are made (default 3)")
    parser.add_argument("--seed", type=int, help="draws faults and jobs (default: by the clock)")
    parser.add_argument("--peers", type=int, default=5, choices=range(2, 21), metavar="N", help="2 to 20 (default 5)")
    parser.add_argument("--blender-frames", type=int, metavar="N", help="frames by a real Blender (default: 30 a minute)")
    parser.add_argument("--only", action="append", choices=sorted(WEIGHTS), metavar="KIND", help="only such faults (repeat)")
    parser.add_argument("--keep", action="store_true", help="keep logs, data folders and the history, and say where")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """The exit code."""
    options = parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends with us
    seed = int(time.time()) % 1_000_000 if options.seed is None else options.seed
    film_frames = options.blender_frames
    left_out = ""
    if film_frames is None:
        film_frames = int(30 * options.minutes)
    if film_frames and importlib.util.find_spec("bpy") is None:
        film_frames, left_out = 0, "there is no bpy here: pip install '.[blender]'"
    folder = Path(tempfile.mkdtemp(prefix="rendermesh-chaos-"))
    settings = campaign.Settings(folder, 60 * options.minutes, seed, options.peers, film_frames, frozenset(options.only or ()))
    try:
        print(f"seed {seed}; everything lies in {folder}", file=sys.stderr, flush=True)
        outcome = campaign.run(settings, lambda text: print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True))
        again = (
            f"scripts/chaos --minutes {options.minutes:g} --seed {seed} --peers {options.peers} --blender-frames {film_frames}"
        )
        again += "".join(f" --only {kind}" for kind in options.only or ())
        head = {"seed": seed, "minutes": f"{options.minutes:g}", "peers": options.peers, "machine": _machine()}
        head |= {"without": "; ".join(f"{kind}: {why}" for kind, why in outcome.left_out.items()) or left_out or "nothing"}
        text = written({**head, "again": again}, outcome.history.lines, outcome.verdicts)
        (folder / "report.txt").write_text(text)
        print(text, end="")
        return 0 if all(verdict.holds for verdict in outcome.verdicts) else 1
    finally:
        if options.keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            campaign.tidy(folder)


def _machine() -> str:
    return f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
