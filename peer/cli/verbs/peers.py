"""peerctl peers, peer, drain, undrain and readmit."""

from __future__ import annotations

from typing import Any

import click

from peer.cli.failures import CliError, Exit
from peer.cli.invocation import Invocation
from peer.cli.options import common, examples, peer_argument
from peer.cli.peerview import COLUMNS, FIELDS
from peer.cli.tables import short, show_list, show_one, text_of
from peer.cli.watching import repeat


@click.command(epilog=examples("peerctl peers", "peerctl peers -o wide", "peerctl peers --watch"))
@click.option("--watch", is_flag=True, help="Show it again and again until Ctrl-C.")
@common
def peers(invocation: Invocation, watch: bool) -> None:
    """List the peers of the mesh."""

    def show(items: list[dict[str, Any]]) -> None:
        show_list(invocation, kind="Peers", key="peers", items=items, columns=COLUMNS, empty="no peers")

    repeat(invocation, lambda: _all(invocation), show, watch=watch)


@click.command(epilog=examples("peerctl peer render1", "peerctl peer 4be1 --json"))
@peer_argument
@common
def peer(invocation: Invocation, peer: str) -> None:
    """Show PEER (an id, a unique prefix, or a name)."""
    show_one(invocation, kind="Peer", item=find_peer(invocation, peer), fields=FIELDS)


@click.command(epilog=examples("peerctl drain render1"))
@peer_argument
@common
def drain(invocation: Invocation, peer: str) -> None:
    """Give PEER no new work; what it renders is finished."""
    _switch(invocation, peer, "drain", "takes no new work")


@click.command(epilog=examples("peerctl undrain render1"))
@peer_argument
@common
def undrain(invocation: Invocation, peer: str) -> None:
    """Give PEER work again."""
    _switch(invocation, peer, "undrain", "takes work again")


@click.command(epilog=examples("peerctl why render1", "peerctl readmit render1"))
@peer_argument
@common
def readmit(invocation: Invocation, peer: str) -> None:
    """Trust the frames of PEER again.

    For a peer that is out because a frame of it had other pixels than two peers render, once it was mended. What it renders
    is looked at as before."""
    _switch(invocation, peer, "readmit", "is trusted again")


def _switch(invocation: Invocation, text: str, verb: str, said: str) -> None:
    from peer.cli.client import part

    found = find_peer(invocation, text)
    answer = invocation.client.send("POST", f"/api/v1/peers/{part(text_of(found, 'id'))}/{verb}")
    match invocation.format:
        case "json":
            invocation.screen.document("Peer", answer or found)
        case "name":
            invocation.screen.data(text_of(found, "id"))
        case "table" | "wide":
            invocation.screen.data(f"peer {text_of(found, 'name') or short(text_of(found, 'id'))} {said}")


def _all(invocation: Invocation) -> list[dict[str, Any]]:
    return list(invocation.client.pages("/api/v1/peers", "peers"))


def find_peer(invocation: Invocation, text: str) -> dict[str, Any]:
    """By id, then name, then prefix. Raises `CliError`: none, or several."""
    known = _all(invocation)
    exact = [peer for peer in known if peer.get("id") == text]
    named = [peer for peer in known if peer.get("name") == text]
    begun = [peer for peer in known if text and text_of(peer, "id").startswith(text)]
    for found in (exact, named, begun):
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(short(text_of(peer, "id")) for peer in found[:5])
            raise CliError(
                Exit.CONFLICT, f"{text!r} means {len(found)} peers: {ids}", remedy="name it by a longer part of its id"
            )
    raise CliError(Exit.NOT_FOUND, f"no peer is called {text!r}", remedy="see the peers: peerctl peers")
