"""peerctl token: API keys of the mesh, made, listed and revoked by an admin."""

from __future__ import annotations

import re
from typing import Final

import click

from peer.cli.invocation import Invocation
from peer.cli.options import common, examples
from peer.cli.tables import Column, show_list, text_of

ROLES: Final = ("viewer", "submitter", "operator", "admin")
_KEY: Final = re.compile(r"mk_([0-9a-f]{16})_[0-9a-f]*\Z", re.ASCII)
_COLUMNS = (
    Column("ID", lambda row: text_of(row, "id")),
    Column("NAME", lambda row: text_of(row, "name")),
    Column("ROLE", lambda row: text_of(row, "role")),
    Column("CREATED", lambda row: text_of(row, "created_at")),
    Column("STATE", lambda row: "revoked" if row.get("revoked") else "valid"),
)


@click.group()
def token() -> None:
    """Make, list or revoke API keys. They count on every peer of the mesh; only a hash of each is kept."""


@token.command(epilog=examples("peerctl token create alice --role submitter", "peerctl token create ci --role viewer > ci.key"))
@click.argument("name", metavar="NAME")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What its holder may do; each includes the former.")
@common
def create(invocation: Invocation, name: str, role: str) -> None:
    """Make a key for NAME and print it: nobody can read it again."""
    made = invocation.client.send("POST", "/api/v1/tokens", {"name": name, "role": role})
    match invocation.format:
        case "json":
            invocation.screen.document("NewToken", made)
        case "name":
            invocation.screen.data(text_of(made, "id"))
        case "table" | "wide":
            invocation.screen.data(text_of(made, "token"))
    told = "it is shown this once; its holder sets PEERCTL_TOKEN, or PEERCTL_TOKEN_FILE to a file with it"
    invocation.screen.say(f"key {text_of(made, 'id')} for {text_of(made, 'name')} ({text_of(made, 'role')}): {told}")


@token.command("list", epilog=examples("peerctl token list", "peerctl token list --json"))
@common
def list_(invocation: Invocation) -> None:
    """List the keys, revoked ones too."""
    rows = list(invocation.client.pages("/api/v1/tokens", "tokens"))
    show_list(invocation, kind="Tokens", key="tokens", items=rows, columns=_COLUMNS, empty="no keys")


@token.command(epilog=examples("peerctl token revoke 3f9a0c1d2e4b5a69", "peerctl token revoke alice"))
@click.argument("key", metavar="ID")
@common
def revoke(invocation: Invocation, key: str) -> None:
    """Revoke a key by its ID (or the name of the one valid key that is called so), for good and on every peer."""
    from peer.cli.client import part

    whole = _KEY.match(key)  # somebody who has only the key itself: its secret stays here
    gone = invocation.client.send("DELETE", f"/api/v1/tokens/{part(whole[1] if whole else key)}")
    match invocation.format:
        case "json":
            invocation.screen.document("Token", gone)
        case "name":
            invocation.screen.data(text_of(gone, "id"))
        case "table" | "wide":
            invocation.screen.data(f"key {text_of(gone, 'id')} of {text_of(gone, 'name')} is revoked")
