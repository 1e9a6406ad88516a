from __future__ import annotations

import pytest

from protocol.ids import PeerId
from protocol.signals import MemberState, PeerChanged


@pytest.mark.parametrize(("state", "live"), [("alive", True), ("suspect", True), ("dead", False), ("left", False)])
def test_a_suspected_peer_counts_until_it_is_dead_or_has_left(state: MemberState, live: bool):
    changed = PeerChanged(PeerId("a" * 64), state, run_epoch=1, host="127.0.0.1", card=None)
    assert changed.live is live
