"""peerctl job: everything about one job; with --watch until it ends."""

from __future__ import annotations

from typing import Any

import click

from peer.cli.invocation import Invocation
from peer.cli.jobref import find_job
from peer.cli.jobview import FIELDS
from peer.cli.options import common, examples, job_argument
from peer.cli.tables import show_one, text_of


@click.command(epilog=examples("peerctl job @last", "peerctl job castle --watch", "peerctl job 3f9a --json | jq -r .state"))
@job_argument
@click.option("--watch", is_flag=True, help="Stay until it ends; the exit code says how, as for submit --wait.")
@common
def job(invocation: Invocation, job: str, watch: bool) -> None:
    """Show JOB: its state, its frames, and why it waits."""
    found = find_job(invocation, job)
    last = _watched(invocation, found) if watch else found
    show_one(invocation, kind="Job", item=last, fields=FIELDS)
    if watch:
        from peer.cli.jobview import ended

        click.get_current_context().exit(int(ended(last) or 0))


def _watched(invocation: Invocation, found: dict[str, Any]) -> dict[str, Any]:
    from peer.cli.following import Patience, watch_job
    from peer.cli.progress import meter

    last = found
    with meter(invocation.screen, text_of(found, "name") or "frames") as gauge:
        for current in watch_job(invocation, found, gauge, Patience()):
            last = current
    return last
