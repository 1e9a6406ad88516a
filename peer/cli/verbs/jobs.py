"""peerctl jobs: what the mesh has to do, and has done."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click

from peer.cli.invocation import Invocation
from peer.cli.jobview import COLUMNS
from peer.cli.options import common, examples
from peer.cli.tables import show_list
from peer.cli.watching import repeat

STATES = ("inspecting", "queued", "running", "paused", "held", "completed", "failed", "cancelled")


@click.command(epilog=examples("peerctl jobs", "peerctl jobs --state held -o wide", "peerctl jobs --json | jq -r '.jobs[].id'"))
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="At most this many.")
@click.option("--watch", is_flag=True, help="Show it again and again until Ctrl-C.")
@common
def jobs(invocation: Invocation, state: str | None, limit: int, watch: bool) -> None:
    """List the jobs."""

    def read() -> list[dict[str, Any]]:
        pages = invocation.client.pages("/api/v1/jobs", "jobs", state=state or "", limit=str(min(limit, 1000)))
        return list(islice((job for job in pages if state in (None, job.get("state"))), limit))

    def show(items: list[dict[str, Any]]) -> None:
        show_list(
            invocation, kind="Jobs", key="jobs", items=items, columns=COLUMNS, empty="no jobs; submit one: peerctl submit SCENE"
        )

    repeat(invocation, read, show, watch=watch)
