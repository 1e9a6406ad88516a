"""peerctl why: the reasons that a job does not go on, or that a peer takes no work, and what helps."""

from __future__ import annotations

from typing import Any

import click

from peer.cli.failures import CliError, Exit
from peer.cli.invocation import Invocation
from peer.cli.jobref import LAST, find_job, job_path
from peer.cli.jobview import outcome
from peer.cli.options import common, examples
from peer.cli.peerview import idle_because
from peer.cli.screen import plain
from peer.cli.tables import short, text_of
from peer.cli.verbs.peers import find_peer


@click.command(epilog=examples("peerctl why castle", "peerctl why attic", "peerctl why @last --json | jq '.reasons'"))
@click.argument("subject", metavar="JOB|PEER")
@common
def why(invocation: Invocation, subject: str) -> None:
    """Say why JOB waits, is held, or has failed; or why PEER takes no work. A job's name goes before a peer's."""
    try:
        found = find_job(invocation, subject)
    except CliError as error:
        peer = None if error.exit_code is not Exit.NOT_FOUND or subject == LAST else _peer(invocation, subject)
        if peer is None:
            raise
        _about_peer(invocation, peer)
        return
    _about_job(invocation, found)


def _peer(invocation: Invocation, text: str) -> dict[str, Any] | None:
    try:
        return find_peer(invocation, text)
    except CliError as error:
        if error.exit_code is Exit.NOT_FOUND:
            return None
        raise


def _about_peer(invocation: Invocation, peer: dict[str, Any]) -> None:
    reasons = idle_because(peer)
    match invocation.format:
        case "json":
            rows = [{"text": reason, "peer": text_of(peer, "id")} for reason in reasons]
            invocation.screen.document("Why", {"peer": text_of(peer, "id"), "reasons": rows})
        case "name":
            for reason in reasons:
                invocation.screen.data(plain(reason))
        case "table" | "wide":
            name = text_of(peer, "name") or short(text_of(peer, "id"))
            invocation.screen.data(plain(f"peer {name} {'takes no work' if reasons else 'takes work: nothing holds it back'}"))
            for reason in reasons:
                invocation.screen.data(f"  - {plain(reason)}")


def _about_job(invocation: Invocation, found: dict[str, Any]) -> None:
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
