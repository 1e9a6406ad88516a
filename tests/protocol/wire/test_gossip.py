from __future__ import annotations

from typing import get_args

from protocol.wire.gossip import DatagramMessage, GossipMessage, StreamGossip


def test_every_message_about_membership_has_one_home() -> None:
    assert set(get_args(DatagramMessage)).isdisjoint(get_args(StreamGossip))
    assert {*get_args(DatagramMessage), *get_args(StreamGossip)} == set(get_args(GossipMessage))
