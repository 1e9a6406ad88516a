"""peerctl fetch: the frames of a job into a folder, only what is missing there, every file checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from peer.cli.failures import Exit
from peer.cli.invocation import Invocation
from peer.cli.jobref import find_job, job_id, job_path
from peer.cli.options import common, examples, job_argument


@click.command(epilog=examples("peerctl fetch castle", "peerctl fetch @last -f 1-10 -d frames"))
@job_argument
@click.option("-f", "--frames", metavar="RANGES", help="Only these; default: all.")
@click.option(
    "-d",
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Default: a folder with the job's name.",
)
@common
def fetch(invocation: Invocation, job: str, frames: str | None, folder: Path | None) -> None:
    """Download the finished frames of JOB.

    Files that are there with the right contents are kept, broken downloads are taken up where they ended. Exit code 9 says
    that some frames are not finished (or failed), 1 that some could not be fetched.
    """
    from peer.cli.fetching import Fetcher, safe_folder_name
    from peer.cli.harvest import fetch_with_progress, has_picture, missing_frames, report, say_missing

    found = find_job(invocation, job)
    target = folder or Path(safe_folder_name(str(found.get("name") or job_id(found))))
    rows = _rows(invocation, found, frames)
    fetcher = Fetcher(invocation.client, found, target)
    fetch_with_progress(invocation, fetcher, [row["frame"] for row in rows if has_picture(row)])
    tally, missing = fetcher.tally, missing_frames(rows)
    report(invocation, tally, target)
    say_missing(invocation, missing)
    if invocation.format == "json":
        invocation.screen.document("Fetched", _document(found, target, fetcher, missing))
    elif invocation.format == "name":
        for file in sorted(tally.files):
            invocation.screen.data(file)
    click.get_current_context().exit(int(Exit.ERROR if tally.problems else Exit.INCOMPLETE if missing else Exit.OK))


def _rows(invocation: Invocation, job: dict[str, Any], frames: str | None) -> list[dict[str, Any]]:
    """The frames asked for. A frame that the job does not have is an error, not a gap."""
    from peer.cli.failures import CliError
    from peer.cli.ranges import parse_ranges

    ranges = parse_ranges(frames) if frames is not None else None
    rows = [row for row in invocation.client.pages(job_path(job, "frames"), "frames") if isinstance(row.get("frame"), int)]
    if ranges is None:
        return rows
    chosen = [row for row in rows if any(row["frame"] in numbers for numbers in ranges)]
    if not chosen:
        raise CliError(
            Exit.NOT_FOUND, f"the job has none of the frames {frames}", remedy=f"see which it has: peerctl frames {job_id(job)}"
        )
    return chosen


def _document(job: dict[str, Any], folder: Path, fetcher: Any, missing: dict[str, list[int]]) -> dict[str, Any]:
    tally = fetcher.tally
    return {
        "job": job_id(job),
        "dir": str(folder),
        "fetched": tally.fetched,
        "kept": tally.kept,
        "bytes": tally.bytes,
        "files": sorted(tally.files),
        "problems": list(tally.problems),
        "missing": missing,
    }
