"""`python -m tests.scenes [NAME...]`: the table of scenes through a real mesh; ends with 1 when anything is different."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from tests.e2e.mesh import Mesh
from tests.scenes import trial
from tests.scenes.build import Home, homes
from tests.scenes.cases import TABLE, Case


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the peers that were started end with us
    cases = [case for case in TABLE if not options.names or case.name in options.names]
    rows: list[trial.Row] = []
    with tempfile.TemporaryDirectory(prefix="rendermesh-scenes-", ignore_cleanup_errors=True) as folder:
        for home in options.home or homes():
            rows += asyncio.run(in_mesh(home, cases, Path(folder) / home))
    print(json.dumps([row.document() for row in rows], indent=1) if options.json else table(rows))
    wrong = sum(not row.holds for row in rows)
    print(f"{len(rows)} scenes, {wrong} not as expected", file=sys.stderr)
    return 1 if wrong or not rows else 0


async def in_mesh(home: Home, cases: list[Case], folder: Path) -> list[trial.Row]:
    folder.mkdir()
    with closing(Mesh(folder)) as mesh:
        return await trial.run(home, cases, mesh, folder, progress)


def progress(row: trial.Row) -> None:
    """On stderr, since the table is for the end."""
    print(f"{row.home} {row.scene}: {row.verdict}", file=sys.stderr, flush=True)


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Which scenes, in which Blender, and how the table is printed."""
    parser = argparse.ArgumentParser(prog="scripts/scenes", description="Scenes through a mesh of three, against one Blender.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these scenes")
    parser.add_argument("--home", action="append", choices=("bpy", "program"), help="only that Blender (default: all there are)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {case.name for case in TABLE}
    if unknown:
        parser.error(f"no scene {', '.join(sorted(unknown))}; there are {', '.join(case.name for case in TABLE)}")
    return options


def table(rows: list[trial.Row]) -> str:
    """Columns as wide as what stands in them; the verdict last, as long as it is."""
    lines = [("scene", "blender", "expected", "seen", "verdict")]
    lines += [(row.scene, row.home, row.expected, row.seen, row.verdict) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[4]]) for line in lines
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
