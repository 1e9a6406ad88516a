from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import Malformed
from protocol.ids import Address
from protocol.membership.snapshot import read_snapshot, write_snapshot
from tests.protocol.wire.strategies import addresses

SOME = (Address("10.0.0.1", 7000), Address("::1", 7001))


@given(st.lists(addresses, max_size=5))
def test_addresses_come_back(some: list[Address]) -> None:
    assert read_snapshot(write_snapshot(some)) == tuple(some)


@pytest.mark.parametrize("cut", range(len(write_snapshot(SOME))))
def test_a_torn_snapshot_is_malformed(cut: int) -> None:
    with pytest.raises(Malformed):
        read_snapshot(write_snapshot(SOME)[:cut])


@given(st.binary(max_size=100))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_snapshot(data)


def test_another_version_and_an_oversized_one_are_malformed() -> None:
    with pytest.raises(Malformed, match="unknown version 2"):
        read_snapshot(msgpack.packb([2, []]))
    with pytest.raises(Malformed, match="at most"):
        read_snapshot(bytes(limits.SNAPSHOT_BYTES_MAX + 1))


def test_it_keeps_no_more_than_its_limit() -> None:
    many = [Address("10.0.0.1", port) for port in range(1, limits.SNAPSHOT_PEERS_MAX + 100)]
    assert read_snapshot(write_snapshot(many)) == tuple(many[: limits.SNAPSHOT_PEERS_MAX])
