"""peerctl trust: pin the authority that verifies a peer's user port."""

from __future__ import annotations

import sys

import click

from peer.cli.failures import CliError, Exit
from peer.cli.invocation import Invocation
from peer.cli.options import common, examples


@click.command(epilog=examples("peerctl trust render1:7700 --fingerprint $(cat fingerprint.txt)", "peerctl trust render1"))
@click.argument("peer_host", metavar="HOST")
@click.option("--fingerprint", metavar="F", help="SHA-256 of the mesh's authority, as peerd there says at its start.")
@common
def trust(invocation: Invocation, peer_host: str, fingerprint: str | None) -> None:
    """Trust the mesh of the peer at HOST from now on: its authority is fetched, compared with F, and kept for this account.

    Without F it is shown and asked about on a terminal: compare it with what the peer itself says, over a way you trust.
    """
    from peer.cli import pinning
    from peer.cli.settings import parse_url, secure_url

    if fingerprint is not None and not pinning.is_fingerprint(fingerprint):
        raise CliError(
            Exit.USAGE,
            "this is no SHA-256 fingerprint",
            why="64 hexadecimal digits are needed, with or without colons",
            remedy="copy it from the line 'authority' that peerd prints at its start, or from peerctl doctor on that machine",
        )
    url = secure_url(parse_url(peer_host), named_scheme="://" in peer_host)
    pem = pinning.fetch_authority(url)
    found = pinning.fingerprint_of(pem)
    if fingerprint is None:
        _ask(invocation, url, found)
    elif not pinning.same_fingerprint(fingerprint, found):
        raise CliError(
            Exit.UNAUTHORISED,
            f"{url} shows another authority; nothing was kept and nothing was sent to it",
            why=f"it has SHA-256 {found}",
            remedy="ask that peer's operator for its fingerprint: either it belongs to another mesh, or somebody is in between",
        )
    path = pinning.keep(invocation.settings.config_dir, url, pem, invocation.screen.say)
    match invocation.format:
        case "json":
            invocation.screen.document("Trust", {"url": url, "sha256": found, "path": str(path)})
        case "name":
            invocation.screen.data(url)
        case "table" | "wide":
            invocation.screen.data(f"{url} is trusted, SHA-256 {found}")


def _ask(invocation: Invocation, url: str, found: str) -> None:
    if not (sys.stdin.isatty() and invocation.screen.err_is_terminal):
        raise CliError(
            Exit.USAGE,
            f"the authority of {url} was not kept: nobody is here to compare it",
            why=f"it shows SHA-256 {found}",
            remedy="compare it with what that peer says itself, then name it: --fingerprint F",
        )
    invocation.screen.say(f"{url} shows an authority with SHA-256 {found}")
    if not click.confirm("Does the peer itself say the same?", err=True, default=False):
        raise CliError(Exit.UNAUTHORISED, "nothing was kept", remedy="ask that peer's operator for its fingerprint")
