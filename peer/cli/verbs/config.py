"""peerctl config: what the peer runs with, and whether a file makes sense before it is used."""

from __future__ import annotations

import click

from peer.cli.failures import CliError, Exit
from peer.cli.invocation import Invocation
from peer.cli.options import common, examples
from peer.cli.tables import Column, show_list, text_of

_VALUES = (Column("NAME", lambda row: text_of(row, "name")), Column("VALUE", lambda row: text_of(row, "value")))
_ORIGIN = Column("FROM", lambda row: text_of(row, "origin"))


@click.group()
def config() -> None:
    """Show a peer's settings, or check a settings file."""


@config.command(epilog=examples("peerctl config show", "peerctl config show --origin"))
@click.option("--origin", is_flag=True, help="Say where each value came from: flag, environment, file or default.")
@common
def show(invocation: Invocation, origin: bool) -> None:
    """Show the settings that the peer runs with; secrets are masked by the peer."""
    listed = invocation.client.get("/api/v1/config").get("settings")
    rows = [{"id": row.get("name"), **row} for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    if invocation.format == "json":
        rows = [{key: value for key, value in row.items() if key != "id"} for row in rows]
    show_list(
        invocation,
        kind="Settings",
        key="settings",
        items=rows,
        columns=(*_VALUES, *([_ORIGIN] if origin else [])),
        empty="no settings",
    )


@config.command(epilog=examples("peerctl config validate peer.toml"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@common
def validate(invocation: Invocation, file: str) -> None:
    """Check a settings file with the peerd that is installed beside peerctl."""
    import subprocess

    from peer.cli.programs import peerd
    from peer.cli.settings import child_environment

    try:
        done = subprocess.run(
            [*peerd(), "--check-config", "--config", file],
            capture_output=True,
            text=True,
            timeout=30,
            env=child_environment(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CliError(
            Exit.ERROR, "peerd could not check the file", why=str(error), remedy="is peerd installed? peerctl doctor"
        ) from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or f"peerd ended with {done.returncode}"
        raise CliError(Exit.REFUSED, f"{file} is not valid", why=said[-2000:], remedy="see the settings: peerd --help")
    invocation.screen.say(f"{file} is valid")
