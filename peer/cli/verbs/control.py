"""peerctl pause, resume, cancel, retry, priority and rm: one request each, all safe to repeat."""

from __future__ import annotations

from typing import Any

import click

from peer.cli.invocation import Invocation
from peer.cli.jobref import find_job, job_path
from peer.cli.jobview import COLUMNS, outcome
from peer.cli.options import common, examples, job_argument
from peer.cli.tables import print_table, text_of


@click.command(epilog=examples("peerctl pause castle"))
@job_argument
@common
def pause(invocation: Invocation, job: str) -> None:
    """Start no more frames of JOB; those that run are finished."""
    _act(invocation, find_job(invocation, job), "pause")


@click.command(epilog=examples("peerctl resume castle", "peerctl resume castle --accept missing_image"))
@job_argument
@click.option(
    "--accept", "codes", multiple=True, metavar="CODE", help="Render in spite of this warning (repeat); see peerctl why JOB."
)
@common
def resume(invocation: Invocation, job: str, codes: tuple[str, ...]) -> None:
    """Go on with a paused JOB, or with a held one whose warnings are accepted."""
    found = find_job(invocation, job)
    if codes:
        invocation.client.send("PATCH", job_path(found), {"accept": list(codes)})
    _act(invocation, found, "resume")


@click.command(epilog=examples("peerctl cancel @last"))
@job_argument
@common
def cancel(invocation: Invocation, job: str) -> None:
    """Stop JOB for good; finished frames stay."""
    _act(invocation, find_job(invocation, job), "cancel")


@click.command(epilog=examples("peerctl retry castle", "peerctl retry castle -f 3-5 --include-done"))
@job_argument
@click.option("-f", "--frames", metavar="RANGES", help="Only these; default: all that failed.")
@click.option("--include-done", is_flag=True, help="Render finished frames again too.")
@common
def retry(invocation: Invocation, job: str, frames: str | None, include_done: bool) -> None:
    """Try the failed frames of JOB again."""
    found = find_job(invocation, job)
    body: dict[str, Any] = {"frames": frames} if frames else {}
    body |= {"include_done": True} if include_done else {}
    body |= {"replaces": found["generation"]} if isinstance(found.get("generation"), int) else {}
    _act(invocation, found, "retry", body)


@click.command(epilog=examples("peerctl priority castle 90"))
@job_argument
@click.argument("priority", metavar="N", type=click.IntRange(0, 100))
@common
def priority(invocation: Invocation, job: str, priority: int) -> None:
    """Give JOB the priority N (0 to 100; the higher goes first)."""
    found = find_job(invocation, job)
    invocation.client.send("PATCH", job_path(found), {"priority": priority})
    _show(invocation, invocation.client.get(job_path(found)))


@click.command(epilog=examples("peerctl rm castle"))
@job_argument
@common
def rm(invocation: Invocation, job: str) -> None:
    """Forget a finished JOB and let go of its frames."""
    found = find_job(invocation, job)
    invocation.client.send("DELETE", job_path(found))
    match invocation.format:
        case "json":
            invocation.screen.document("Removed", {"id": text_of(found, "id")})
        case "name":
            invocation.screen.data(text_of(found, "id"))
        case "table" | "wide":
            invocation.screen.say(f"job {text_of(found, 'id')} is forgotten")


def _act(invocation: Invocation, job: dict[str, Any], verb: str, body: dict[str, Any] | None = None) -> None:
    invocation.client.send("POST", job_path(job, verb), body)
    _show(invocation, invocation.client.get(job_path(job)))


def _show(invocation: Invocation, job: dict[str, Any]) -> None:
    match invocation.format:
        case "json":
            invocation.screen.document("Job", job)
        case "name":
            invocation.screen.data(text_of(job, "id"))
        case "table":
            invocation.screen.data(outcome(job))
        case "wide":
            print_table(invocation.screen, [job], COLUMNS, wide=True)
