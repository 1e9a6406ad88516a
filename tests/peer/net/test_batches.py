from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.net.batches import join, split
from protocol.errors import Malformed
from protocol.limits import MESSAGE_BYTES_MAX, MESSAGES_PER_POST_MAX


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_what_was_joined_comes_apart_again(payloads: list[bytes]):
    assert split(join(payloads)) == payloads


@given(st.binary(max_size=200))
def test_garbage_is_malformed_or_framed_but_never_anything_else(body: bytes):
    try:
        payloads = split(body)
    except Malformed:
        return
    assert join(payloads) == body


@pytest.mark.parametrize("body", [b"\0", b"\0\0\0", b"\0\0\0\2a", b"\xff\xff\xff\xffabc", join([b"ok"]) + b"\0\0\0\1"])
def test_a_body_that_ends_too_early_is_malformed(body: bytes):
    with pytest.raises(Malformed, match="leads outside"):
        split(body)


def test_a_message_above_the_limit_is_malformed():
    with pytest.raises(Malformed):
        split(join([b"x" * (MESSAGE_BYTES_MAX + 1)]))


def test_too_many_messages_are_malformed():
    assert len(split(join([b""] * MESSAGES_PER_POST_MAX))) == MESSAGES_PER_POST_MAX
    with pytest.raises(Malformed, match="more than"):
        split(join([b""] * (MESSAGES_PER_POST_MAX + 1)))
