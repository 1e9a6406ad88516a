from __future__ import annotations

from typing import Any, cast

import pytest

from peer.forwarding import Forwarding
from peer.net.meshclient import MeshClient
from protocol.errors import Unavailable
from protocol.node import Node
from tests.protocol.making import ANNA


class Nobody:
    """A roster that knows nobody."""

    def stream_address(self, _peer: Any) -> None:
        return None


class Alone:
    roster = Nobody()


async def test_a_peer_that_is_not_alive_is_refused_openly():
    forward = Forwarding(cast(MeshClient, None), cast(Node, Alone()))
    with pytest.raises(Unavailable, match="is not alive"):
        async with forward(ANNA, method="GET", path="/api/v1/jobs"):
            raise AssertionError("there is nobody to ask")
