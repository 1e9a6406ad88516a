from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given

from protocol import limits
from protocol.errors import Malformed
from protocol.wire import key_rows
from protocol.wire.codec import decode, encode
from protocol.wire.keys import KeyGiven, KeyMessage, KeysHeld
from tests.protocol.wire.strategies import key_messages

HELD = KeysHeld(("0" * 16,), (3, "0" * 16), ("1" * 16,), True)


def test_each_message_has_a_writer_and_a_reader() -> None:
    assert set(key_rows.WRITERS) == set(get_args(KeyMessage))
    assert len(key_rows.WRITERS) == len(key_rows.READERS)


@given(key_messages)
def test_a_message_about_keys_comes_back(message: KeyMessage) -> None:
    assert decode(encode(message)) == message


def bad_held(**changes: Any) -> list[Any]:
    row = key_rows.WRITERS[KeysHeld](HELD)
    for at, value in changes.items():
        row[int(at[1:])] = value
    return row


@pytest.mark.parametrize(
    "row",
    [
        bad_held(_1=[b"short"]),
        bad_held(_1=[b"8 bytes!"] * (limits.KEYS_PER_RING_MAX + 1)),
        bad_held(_2=[1]),
        bad_held(_2=[-1, b"8 bytes!"]),
        bad_held(_3=[b"8 bytes!"] * (limits.KEYS_REMOVED_REMEMBERED_MAX + 1)),
        bad_held(_4=1),
        [key_rows.KEY_GIVEN, b"too short", None],
        [key_rows.KEY_GIVEN, bytes(32), [b"no peer"]],
        [key_rows.KEY_GIVEN, bytes(32), 7],
    ],
)
def test_what_does_not_fit_is_malformed(row: list[Any]) -> None:
    with pytest.raises(Malformed):
        key_rows.READERS[row[0]][1](row)


def test_a_key_is_not_in_what_is_shown() -> None:
    assert "kkkk" not in repr(KeyGiven(b"k" * 32, None))
