"""peerctl frames: the frames of a job, one a line."""

from __future__ import annotations

from typing import Final

import click

from peer.cli.invocation import Invocation
from peer.cli.jobref import find_job, job_path
from peer.cli.options import common, examples, job_argument
from peer.cli.screen import plain
from peer.cli.tables import Column, number, octets, print_table, short, span, text_of

COLUMNS: Final = (
    Column("FRAME", lambda row: text_of(row, "frame")),
    Column("STATE", lambda row: text_of(row, "state")),
    Column("PEER", lambda row: short(text_of(row, "peer"))),
    Column("ATTEMPTS", lambda row: text_of(row, "attempts")),
    Column("SECONDS", lambda row: span(row.get("seconds"))),
    Column("SIZE", lambda row: octets(number(row, "size")) if row.get("size") is not None else ""),
    Column("GENERATION", lambda row: text_of(row, "generation"), wide=True),
    Column("DIGEST", lambda row: text_of(row, "digest"), wide=True),
    Column("PIXELS", lambda row: text_of(row, "pixel_hash"), wide=True),
    Column("REASON", lambda row: text_of(row, "reason") or text_of(row, "error")),
)
STATES = ("pending", "running", "done", "failed", "held")


@click.command(epilog=examples("peerctl frames castle --state failed", "peerctl frames @last -o wide"))
@job_argument
@click.option("--state", type=click.Choice(STATES), help="Only frames in this state.")
@common
def frames(invocation: Invocation, job: str, state: str | None) -> None:
    """List the frames of JOB: state, peer, attempts, seconds, size."""
    found = find_job(invocation, job)
    pages = invocation.client.pages(job_path(found, "frames"), "frames", state=state or "")
    rows = [row for row in pages if state in (None, row.get("state"))]
    match invocation.format:
        case "json":
            invocation.screen.document("Frames", {"frames": rows})
        case "name":
            for row in rows:
                invocation.screen.data(plain(row.get("frame", "")))
        case "table" | "wide" if rows:
            print_table(invocation.screen, rows, COLUMNS, wide=invocation.format == "wide")
        case _:
            invocation.screen.say(f"no frames{f' in state {state}' if state else ''}")
