"""peerctl ping: which ways to a peer are open, as the peer that is asked finds them."""

from __future__ import annotations

from typing import Any

import click

from peer.cli.failures import Exit
from peer.cli.invocation import Invocation
from peer.cli.options import common, examples, peer_argument
from peer.cli.tables import Column, Item, count, print_table, text_of

_WAYS = ("datagram", "stream", "indirect")
_COLUMNS = (
    Column("WAY", lambda row: text_of(row, "way")),
    Column("ANSWERED", lambda row: f"{count(row, 'received')}/{count(row, 'sent')}" if count(row, "sent") else "nobody to ask"),
    Column("MIN", lambda row: _ms(row, min)),
    Column("MEAN", lambda row: _ms(row, lambda times: sum(times) / len(times))),
    Column("MAX", lambda row: _ms(row, max)),
)


@click.command(epilog=examples("peerctl ping render2", "peerctl ping 4be1 -c 10", "peerctl -H render1 ping render3 --json"))
@peer_argument
@click.option("-c", "--count", "times", type=click.IntRange(1, 10), default=3, show_default=True, help="How often.")
@common
def ping(invocation: Invocation, peer: str, times: int) -> None:
    """Measure the ways from the peer asked to PEER: by datagram, by stream, and through another peer.

    Exit code 1 when no way is open.
    """
    from peer.cli.client import Call, part

    path = f"/api/v1/peers/{part(peer)}/ping"
    timeout_s = 10.0 + 4.0 * times
    seen = invocation.client.request(Call("POST", path, {"count": str(times)}, read_timeout_s=timeout_s)).json()
    match invocation.format:
        case "json":
            invocation.screen.document("Ping", seen)
        case "name":
            invocation.screen.data(text_of(seen, "peer"))
        case "table" | "wide":
            rows = [{"way": way, **_way(seen, way)} for way in _WAYS]
            print_table(invocation.screen, rows, _COLUMNS, wide=False)
            if _way(seen, "stream").get("received") and not _way(seen, "datagram").get("received"):
                invocation.screen.say("datagrams do not come through: open its user port for UDP too")
    answered = any(_way(seen, way).get("received") for way in _WAYS)
    click.get_current_context().exit(int(Exit.OK if answered else Exit.ERROR))


def _way(seen: Item, way: str) -> dict[str, Any]:
    found = seen.get(way)
    return found if isinstance(found, dict) else {}


def _ms(row: Item, figure: Any) -> str:
    times = row.get("rtt_ms")
    known = [one for one in times if isinstance(one, int | float)] if isinstance(times, list) else []
    return f"{figure(known):.2f} ms" if known else ""
