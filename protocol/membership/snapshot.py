"""Where to look for the mesh after a restart: addresses of known members, as one stored value.

Decides the layout and what is worth keeping. Refuses to know where it is kept. The addresses are candidates, nothing
more: who answers there proves itself by the seal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

import msgpack

from protocol import limits
from protocol.errors import Malformed
from protocol.ids import Address
from protocol.wire.fields import address, sequence

KEY: Final = "membership/peers"
_VERSION: Final = 1


def write_snapshot(addresses: Iterable[Address]) -> bytes:
    """The first `limits.SNAPSHOT_PEERS_MAX` gossip addresses as bytes."""
    rows = [[one.host, one.port] for one in addresses][: limits.SNAPSHOT_PEERS_MAX]
    return cast(bytes, msgpack.packb([_VERSION, rows]))


def read_snapshot(data: bytes) -> tuple[Address, ...]:
    """The addresses in `data`. Raises `Malformed` for bytes that were cut short or are not a snapshot."""
    if len(data) > limits.SNAPSHOT_BYTES_MAX:
        raise Malformed(f"a snapshot of {len(data)} bytes; at most {limits.SNAPSHOT_BYTES_MAX}")
    try:
        value = msgpack.unpackb(data, max_array_len=limits.SNAPSHOT_PEERS_MAX, max_map_len=0, max_ext_len=0)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as fault:
        raise Malformed(f"not a snapshot: {type(fault).__name__}") from fault
    version, rows = sequence(value, 2, 2)
    if version != _VERSION:
        raise Malformed(f"a snapshot of the unknown version {str(version)[:20]}")
    return tuple([address(*sequence(row, 2, 2)) for row in sequence(rows, 0, limits.SNAPSHOT_PEERS_MAX)])
