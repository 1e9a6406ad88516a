"""peerctl why: the reasons that a job does not go on, and what helps."""

from __future__ import annotations

import click

from peer.cli.invocation import Invocation
from peer.cli.jobref import find_job, job_path
from peer.cli.jobview import outcome
from peer.cli.options import common, examples, job_argument
from peer.cli.screen import plain
from peer.cli.tables import short, text_of


@click.command(epilog=examples("peerctl why castle", "peerctl why @last --json | jq '.reasons'"))
@job_argument
@common
def why(invocation: Invocation, job: str) -> None:
    """Say why JOB waits, is held, or has failed."""
    found = find_job(invocation, job)
    answer = invocation.client.get(job_path(found, "why"))
    listed = answer.get("reasons")
    reasons = [reason for reason in listed if isinstance(reason, dict)] if isinstance(listed, list) else []
    match invocation.format:
        case "json":
            invocation.screen.document("Why", answer)
        case "name":
            for reason in reasons:
                invocation.screen.data(plain(reason.get("code", "")))
        case "table" | "wide":
            invocation.screen.data(plain(outcome({**found, "held_because": [], "waiting_because": None, "error": None})))
            for reason in reasons:
                invocation.screen.data(_lines(reason))
            if not reasons:
                invocation.screen.data("nothing holds it back")


def _lines(reason: dict[str, object]) -> str:
    code, peer, remedy = text_of(reason, "code"), text_of(reason, "peer"), text_of(reason, "remedy")
    head = (
        f"  - {plain(text_of(reason, 'text') or code)}"
        + (f" [{plain(code)}]" if code else "")
        + (f" (peer {plain(short(peer))})" if peer else "")
    )
    return head + (f"\n    next: {plain(remedy)}" if remedy else "")
