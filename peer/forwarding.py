"""A user's request carried to the peer that can answer it, over the mesh port. No decisions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Sequence

from peer.net.meshclient import Forwarded, MeshClient
from protocol import limits
from protocol.errors import Unavailable
from protocol.ids import PeerId
from protocol.node import Node


class Forwarding:
    """Satisfies `peer.ports.Forward` over the mesh port."""

    def __init__(self, client: MeshClient, node: Node) -> None:
        self._client = client
        self._node = node

    @contextlib.asynccontextmanager
    async def __call__(
        self, peer: PeerId, *, method: str, path: str, headers: Sequence[tuple[str, str]] = (),
        body: AsyncIterable[bytes] | None = None,
    ) -> AsyncIterator[Forwarded]:  # fmt: skip
        address = self._node.roster.stream_address(peer)
        if address is None:
            raise Unavailable("peer_unreachable", f"peer {peer[:8]} is not alive", retry_after_s=2)
        stall_s = None if "/events" in path else limits.FORWARD_STALL_S
        async with self._client.request_api(
            peer, address, method=method, path=path, headers=headers, body=body, stall_s=stall_s
        ) as reply:
            yield reply
