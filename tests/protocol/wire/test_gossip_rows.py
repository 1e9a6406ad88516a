from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given

from protocol.errors import Malformed
from protocol.wire import gossip_rows
from protocol.wire.gossip import DigestMessage, GossipMessage
from tests.protocol.wire.strategies import alives


def test_each_message_has_a_writer_and_a_reader() -> None:
    assert set(gossip_rows.WRITERS) == set(get_args(GossipMessage)) - set(get_args(DigestMessage))  # those are work's
    assert len(gossip_rows.READERS) == len(gossip_rows.WRITERS)


@given(alives)
def test_alive_news_survives_the_round_trip_as_a_row(news: Any) -> None:
    assert gossip_rows.read_alive(gossip_rows.alive_row(news)) == news


def test_news_of_another_kind_inside_a_stream_ping_is_malformed() -> None:
    _, read = gossip_rows.READERS[gossip_rows.STREAM_PING]
    with pytest.raises(Malformed, match="living member"):
        read([gossip_rows.STREAM_PING, 1, [gossip_rows.DEAD, *range(gossip_rows.ALIVE_FIELDS)]])


def test_a_state_that_does_not_exist_is_malformed() -> None:
    _, read = gossip_rows.READERS[gossip_rows.SYNC_VERSIONS]
    with pytest.raises(Malformed):
        read([gossip_rows.SYNC_VERSIONS, [[b"x" * 32, 1, 1, 4]]])
