"""peerctl keys: turn the mesh's key while it runs, or leave a peer out. A key itself is never on a command line, nor shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from peer.cli.failures import CliError, Exit
from peer.cli.invocation import Invocation
from peer.cli.options import common, examples
from peer.cli.tables import Column, show_list, text_of

KEY_FILE_BYTES_MAX: Final = 64 * 1024
SHOWN_DIGITS: Final = 8
_COLUMNS = (
    Column("FINGERPRINT", lambda row: text_of(row, "id")),
    Column("SEALS", lambda row: "yes" if row.get("primary") else "no"),
    Column("HELD BY", lambda row: text_of(row, "holders")),
    Column("NOT CONFIRMED BY", lambda row: ", ".join(_short(row.get("missing"))) or "-"),
)


@click.group()
def keys() -> None:
    """Turn the mesh's key while it runs: install a new one, use it, remove the old one. Each step waits for every live peer.

    To leave a peer out, install a new key with --expel PEER; once the old one is removed, that peer is out."""


@keys.command("list", epilog=examples("peerctl keys list", "peerctl keys list --json"))
@common
def list_(invocation: Invocation) -> None:
    """List the keys by fingerprint, with who has not confirmed to hold them."""
    _show(invocation, invocation.client.get("/api/v1/keys"))


@keys.command(epilog=examples("peerctl keys install new.key", "peerctl keys install new.key --expel render7"))
@click.argument("file", metavar="FILE")
@click.option("--expel", multiple=True, metavar="PEER", help="Not for this peer (repeat for several).")
@common
def install(invocation: Invocation, file: str, expel: tuple[str, ...]) -> None:
    """Give the key in FILE to every live peer, except those to be expelled; the old one seals on."""
    document: dict[str, Any] = {"key": _read(Path(file))}
    if expel:
        document["expel"] = list(expel)
    _show(invocation, invocation.client.send("POST", "/api/v1/keys", document))


@keys.command(epilog=examples("peerctl keys use 3f9a0c1d2e4b5a69"))
@click.argument("fingerprint", metavar="FINGERPRINT")
@click.option("--force", is_flag=True, help="Although peers would be cut off that have not confirmed to hold it.")
@common
def use(invocation: Invocation, fingerprint: str, force: bool) -> None:
    """Have every peer seal with this key from now on."""
    from peer.cli.client import part

    document = {"force": True} if force else {}
    _show(invocation, invocation.client.send("POST", f"/api/v1/keys/{part(fingerprint)}/use", document))


@keys.command(epilog=examples("peerctl keys remove 3f9a0c1d2e4b5a69"))
@click.argument("fingerprint", metavar="FINGERPRINT")
@click.option("--force", is_flag=True, help="Although peers would be cut off that have not confirmed to use another.")
@common
def remove(invocation: Invocation, fingerprint: str, force: bool) -> None:
    """Take this key away from every peer, for good: whoever has no other one is out."""
    from peer.cli.client import part

    document = {"force": True} if force else {}
    _show(invocation, invocation.client.send("DELETE", f"/api/v1/keys/{part(fingerprint)}", document))


def _show(invocation: Invocation, ring: Mapping[str, Any]) -> None:
    rows = ring.get("keys")
    items = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if invocation.format == "json":
        invocation.screen.document("MeshKeys", ring)
    else:
        show_list(invocation, kind="MeshKeys", key="keys", items=items, columns=_COLUMNS, empty="no keys")
    behind = _short(ring.get("unconfirmed"))
    if behind:
        invocation.screen.say(f"not confirmed by {', '.join(behind)}: they hear of it as soon as they can be reached")


def _short(peers: object) -> list[str]:
    return [str(peer)[:SHOWN_DIGITS] for peer in peers] if isinstance(peers, list) else []


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(KEY_FILE_BYTES_MAX).decode("ascii", "replace").strip()
    except OSError as error:
        raise CliError(Exit.USAGE, f"cannot read {path}", why=error.strerror or str(error)) from None
    if not text:
        raise CliError(Exit.USAGE, f"{path} is empty", remedy="make a key: peerctl keygen --next mesh.key --out new.key")
    return text
