from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from protocol.errors import Malformed
from protocol.ids import Address, AttemptId, Fence, PeerId
from protocol.wire import fields

PEER = PeerId("cd" * 32)


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (fields.uint, -1),
        (fields.uint, 2**64),
        (fields.uint, True),
        (fields.uint, 1.0),
        (fields.uint, None),
        (fields.flag, 1),
        (fields.flag, 0),
        (fields.duration, math.nan),
        (fields.duration, math.inf),
        (fields.duration, -0.1),
        (fields.duration, True),
        (fields.duration, "1"),
        (fields.peer, "ab" * 32),
        (fields.peer, b"x"),
        (fields.fence, [1]),
        (fields.fence, [1, b"x" * 32, 2]),
        (fields.attempt, [1, b"x" * 32, -1]),
        (lambda value: fields.text(value, 3), "four"),
        (lambda value: fields.text(value, 3), b"abc"),
        (lambda value: fields.blob(value, 3), b"four"),
        (lambda value: fields.blob(value, 3), "abc"),
        (lambda value: fields.octets(value, 3), b"four"),
        (lambda value: fields.items(value, 1, fields.uint), [1, 2]),
        (lambda value: fields.items(value, 1, fields.uint), (1,)),
        (lambda value: fields.address(value, 1), "localhost"),
        (lambda value: fields.address(value, 1), "1" * 65),
        (lambda value: fields.address("::1", value), 0),
        (lambda value: fields.address("::1", value), 65_536),
    ],
)
def test_what_does_not_fit_is_malformed(read: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(Malformed):
        read(value)


def test_fences_and_attempts_survive_the_round_trip() -> None:
    assert fields.fence(fields.fence_row(Fence(7, PEER))) == Fence(7, PEER)
    assert fields.attempt(fields.attempt_row(AttemptId(7, PEER, 2**64 - 1))) == AttemptId(7, PEER, 2**64 - 1)


def test_both_families_of_addresses_are_read() -> None:
    assert fields.address("192.0.2.1", 7) == Address("192.0.2.1", 7)
    assert fields.address("fe80::1%eth0", 7) == Address("fe80::1%eth0", 7)


def test_depth_is_measured_no_further_than_asked() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    assert not fields.shallow(deep, 12)
    assert fields.shallow([[[1]], 2], 3)
    assert not fields.shallow([[[1]], 2], 2)
