"""peerctl whoami: who we are to the peer that is asked."""

from __future__ import annotations

import click

from peer.cli.invocation import Invocation
from peer.cli.options import common, examples
from peer.cli.tables import Column, show_one, text_of

_FIELDS = (
    Column("Name", lambda row: text_of(row, "name")),
    Column("Role", lambda row: text_of(row, "role")),
    Column("Key", lambda row: text_of(row, "key")),
    Column("Peer", lambda row: text_of(row, "peer")),
)


@click.command(epilog=examples("peerctl whoami", "peerctl -H render1:7700 whoami --json"))
@common
def whoami(invocation: Invocation) -> None:
    """Show the name and the role that the key in use has."""
    caller = invocation.client.get("/api/v1/whoami")
    item = caller if invocation.format == "json" else {"id": caller.get("name"), **caller}
    show_one(invocation, kind="Caller", item=item, fields=_FIELDS)
