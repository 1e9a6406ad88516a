"""`python -m tests.bench NAME`: run one benchmark, print its table, end with 1 when a goal is missed."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.bench.measured import Row, table

BENCHES: Final = {
    "render": "one peer and three against one Blender: 48 frames of 320x180 at 4 samples",
    "membership": "failure detection, joins, faults and idle cost beside Debian's serf (root: it makes network namespaces)",
    "rotation": "the mesh's key turned again and again while three peers render, then one peer left out",
    "flood": "10,000 bad datagrams a second against one of three peers while they render (root: in a network namespace)",
    "door": "a closed mesh asked for every route without a key, with wrong ones and with too low a role, while it renders",
    "takeover": "the owner of a running job killed with -9, 20 times: when its heir is shown, and when work is stolen again",
    "million": "memory of an owner and a replica of a job of a million frames, and how long a look at it takes",
    "many": "10,000 small files in one submission, beside two copies of them by cp with fsync",
    "blobs": "memory of two daemons while a 2 GB scene is uploaded to one and fetched by the other",
}


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the peers that were started end with us
    load = os.getloadavg()[0]
    print(f"{options.name}: {options.pairs} pairs on {os.cpu_count()} cores, load average {load:.2f}", file=sys.stderr)
    if load > 1:
        print("this machine is busy: the figures are noise, not a verdict", file=sys.stderr)
    bench = importlib.import_module(f"tests.bench.{options.name}")
    with tempfile.TemporaryDirectory(prefix="rendermesh-bench-", ignore_cleanup_errors=True) as folder:
        if hasattr(bench, "arguments"):
            rows: list[Row] = bench.run(options=options, folder=Path(folder))
        else:
            rows = bench.run(pairs=options.pairs, folder=Path(folder))
    print(table(rows))
    if options.json is not None:
        machine = {"cores": os.cpu_count(), "load_average": load, "system": platform.platform(), "pairs": options.pairs}
        document = {"bench": options.name, "machine": machine, "rows": [row.document() for row in rows]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(row.holds for row in rows) else 1


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Name, pairs, where the figures go, and what a benchmark itself adds (its `arguments`)."""
    listing = "\n".join(f"  {name:<10} {text}" for name, text in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="scripts/bench", epilog=f"benchmarks:\n{listing}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=BENCHES, metavar="NAME", help="which one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--pairs", type=_count, default=7, metavar="N", help="alternating measurements (default 7)")
    name = next((word for word in arguments if word in BENCHES), None)  # its own options may come before it
    if name is not None:
        add = getattr(importlib.import_module(f"tests.bench.{name}"), "arguments", None)
        if add is not None:
            add(parser)
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1_000:
        raise argparse.ArgumentTypeError("from 1 to 1000")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
