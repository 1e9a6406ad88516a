"""peerctl events: what happens in the mesh, as the peer asked sees it."""

from __future__ import annotations

import json
from typing import Any

import click

from peer.cli import bounds
from peer.cli.invocation import Invocation
from peer.cli.options import common, examples


@click.command(epilog=examples("peerctl events", "peerctl events -f", "peerctl events -f --json | jq -r .event"))
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C, also when a peer goes away.")
@common
def events(invocation: Invocation, follow: bool) -> None:
    """Print the events that the peer keeps; with -f also those that follow."""
    from peer.cli.eventstream import followed_events, kept_events

    if not follow:
        for _, event in kept_events(invocation.client, "/api/v1/events"):
            _print(invocation, event)
        return
    for followed in followed_events(invocation.client, "/api/v1/events", silent_s=bounds.PATIENCE_S):
        if followed is not None:
            _print(invocation, followed)


def _print(invocation: Invocation, event: dict[str, Any]) -> None:
    from peer.cli.eventstream import event_line
    from peer.cli.screen import plain

    match invocation.format:
        case "json":
            invocation.screen.data(json.dumps(event))
        case "name":
            invocation.screen.data(plain(event.get("event", "")))
        case "table" | "wide":
            invocation.screen.data(event_line(event))
