"""peerctl doctor: does this machine have what a peer needs? Each finding with what to do about it."""

from __future__ import annotations

import click

from peer.cli.failures import Exit
from peer.cli.invocation import Invocation
from peer.cli.options import common, examples
from peer.cli.screen import plain
from peer.cli.tables import Column, print_table, text_of

_COLUMNS = (
    Column("CHECK", lambda row: text_of(row, "name")),
    Column("RESULT", lambda row: text_of(row, "result")),
    Column("FOUND", lambda row: text_of(row, "text")),
)


@click.command(epilog=examples("peerctl doctor", "peerctl doctor --json | jq '.checks[] | select(.result != \"ok\")'"))
@common
def doctor(invocation: Invocation) -> None:
    """Examine this machine: Python, renderers, ports, disk, limits, clock, and the peer on it. Exit code 1 when a check fails."""
    from dataclasses import asdict

    from peer.cli.diagnosis import examine

    rows = [asdict(finding) for finding in examine(invocation)]
    match invocation.format:
        case "json":
            invocation.screen.document("Diagnosis", {"checks": rows})
        case "name":
            for row in rows:
                invocation.screen.data(row["name"])
        case "table" | "wide":
            print_table(invocation.screen, rows, _COLUMNS, wide=False)
            for row in rows:
                if row["remedy"] and row["result"] != "ok":
                    invocation.screen.data(f"{row['name']}: {plain(row['remedy'])}")
    click.get_current_context().exit(int(Exit.ERROR if any(row["result"] == "fail" for row in rows) else Exit.OK))
