from __future__ import annotations

from typing import Any, get_args

import msgpack
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import Malformed
from protocol.ids import Address, PeerId
from protocol.wire import codec
from protocol.wire.codec import decode, decode_many, encode, encode_many, encoded_size
from protocol.wire.gossip import Ack, Alive, GossipMessage, Ping, StreamAck, Suspect
from protocol.wire.work import WorkMessage
from tests.fuzzing import examples
from tests.protocol.wire.strategies import datagram_messages, messages, stream_gossip

PEER = PeerId("ab" * 32)
ALIVE = Alive(PEER, 3, 4, b"nonce678", Address("10.0.0.1", 7000), 7001, b"meta", (1, 1))
PING = Ping(2**64 - 1, PEER, Suspect(PEER, 1, 2, PEER, True))
thorough = examples(400)
KINDS = {*get_args(GossipMessage), *get_args(WorkMessage)}


@thorough
@given(messages)
def test_every_message_survives_the_round_trip(message: Any) -> None:
    assert decode(encode(message)) == message


def test_no_message_is_forgotten_and_no_tag_is_used_twice() -> None:
    assert set(codec._WRITERS) == KINDS
    assert len(codec._READERS) == len(KINDS)


def test_every_kind_of_message_is_among_those_that_are_drawn() -> None:
    drawn: set[type[Any]] = set()

    @settings(max_examples=1_500, phases=[Phase.generate], derandomize=True, database=None)
    @given(messages)
    def draw(message: Any) -> None:
        drawn.add(type(message))

    draw()
    assert drawn == KINDS


@thorough
@given(st.binary(max_size=200))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


@thorough
@given(messages, st.data())
def test_a_cut_message_is_malformed(message: Any, data: st.DataObject) -> None:
    whole = encode(message)
    with pytest.raises(Malformed):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@thorough
@given(messages, st.data())
def test_a_message_with_a_changed_byte_is_read_or_malformed(message: Any, data: st.DataObject) -> None:
    changed = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    _read_or_malformed(bytes(changed))


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=30,
)


@thorough
@given(st.sampled_from(sorted(codec._READERS)), st.lists(plain, max_size=14))
def test_a_known_tag_with_any_fields_is_read_or_malformed(tag: int, fields: list[Any]) -> None:
    _read_or_malformed(msgpack.packb([tag, *fields]))


@thorough
@given(messages, plain, st.data())
def test_one_foreign_field_in_a_good_message_is_read_or_malformed(message: Any, foreign: Any, data: st.DataObject) -> None:
    row = msgpack.unpackb(encode(message))
    _replace_somewhere(row, foreign, data)
    _read_or_malformed(msgpack.packb(row))


def _replace_somewhere(row: list[Any], foreign: Any, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(row) - 1))
    if isinstance(row[at], list) and row[at] and data.draw(st.booleans()):
        _replace_somewhere(row[at], foreign, data)
    else:
        row[at] = foreign


def _read_or_malformed(data: bytes) -> None:
    """What is read must also be writable: it may be handed on."""
    try:
        message = decode(data)
    except Malformed:
        return
    assert decode(encode(message)) == message


def test_an_unknown_tag_is_malformed() -> None:
    with pytest.raises(Malformed, match="unknown tag 9999"):
        decode(msgpack.packb([9999, 1]))


@pytest.mark.parametrize("row", [[], 5, "text", None, ["1", 2], [True, 1], [1.0, 1], {1: 2}], ids=str)
def test_what_is_not_a_list_behind_a_tag_is_malformed(row: Any) -> None:
    with pytest.raises(Malformed):
        decode(msgpack.packb(row))


def test_a_message_over_the_size_limit_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_unpacked", lambda data: pytest.fail("was unpacked"))
    with pytest.raises(Malformed, match="at most"):
        decode(bytes(limits.MESSAGE_BYTES_MAX + 1))


def test_a_message_that_grew_too_large_is_not_written() -> None:
    huge = Ping(1, None, None)
    with pytest.raises(Malformed, match="cannot be written"):
        encode(Ping(2**64, None))
    assert decode(encode(huge)) == huge  # the failed one leaves nothing behind


@pytest.mark.parametrize("depth", [2, limits.MESSAGE_DEPTH_MAX + 1, 500, 1_000, 5_000, 100_000])
def test_deep_nesting_is_malformed_wherever_it_stands(depth: int) -> None:
    bomb = b"\x91" * depth + b"\x01"
    whole = encode(PING)
    for data in (bomb, b"\x92\x01" + bomb, whole[:1] + bomb + whole[2:], b"\x95" + whole[1:] + bomb):
        if data.startswith(b"\x95") and depth < limits.MESSAGE_DEPTH_MAX:
            assert decode(data) == PING  # an unknown field of a newer version, of a sane depth
        else:
            with pytest.raises(Malformed):
                decode(data)


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xdd\xff\xff\xff\xff",  # a list of four billion items
        b"\xdf\xff\xff\xff\xff",  # a map of as many
        b"\xc6\xff\xff\xff\xff",  # as many bytes
        b"\xdb\xff\xff\xff\xff",  # as many characters
        b"\xc9\xff\xff\xff\xff\x01",  # an extension of as many bytes
        b"\xdd\x00\x00\x4e\x20" * 1_000,  # lists of 20,000 within one another
        b"\x93\x01\x81\x01\x02\xc0",  # a map where none may be
        b"\x93\x01\xd6\xff\x00\x00\x00\x00\xc0",  # a timestamp
    ],
)
def test_bombs_are_refused(bomb: bytes) -> None:
    with pytest.raises(Malformed):
        decode(bomb)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ([5, b"x" * 31, 1, 1, b"n" * 8, "10.0.0.1", 1, 1, b"", 1, 1], "peer id"),
        ([5, b"x" * 32, -1, 1, b"n" * 8, "10.0.0.1", 1, 1, b"", 1, 1], "whole number"),
        ([5, b"x" * 32, 1, True, b"n" * 8, "10.0.0.1", 1, 1, b"", 1, 1], "whole number"),
        ([5, b"x" * 32, 1, 1, b"n" * 9, "10.0.0.1", 1, 1, b"", 1, 1], "8 bytes"),
        ([5, b"x" * 32, 1, 1, b"n" * 8, "example.org", 1, 1, b"", 1, 1], "literal IP"),
        ([5, b"x" * 32, 1, 1, b"n" * 8, "10.0.0.1", 0, 1, b"", 1, 1], "65535"),
        ([5, b"x" * 32, 1, 1, b"n" * 8, "10.0.0.1", 1, 65536, b"", 1, 1], "65535"),
        ([5, b"x" * 32, 1, 1, b"n" * 8, "10.0.0.1", 1, 1, b"m" * 513, 1, 1], "512"),
        ([5, b"x" * 32, 1, 1, b"n" * 8, "10.0.0.1", 1, 1, b"", 2, 1], "version range"),
        ([5, b"x" * 32, 1, 1, b"n" * 8, "10.0.0.1", 1, 1, b"", 1], "expected 11"),
        ([6, b"x" * 32, 1, 1, b"y" * 32, 1], "true or false"),
    ],
)
def test_a_wrong_field_is_named(row: list[Any], why: str) -> None:
    with pytest.raises(Malformed, match=why):
        decode(msgpack.packb(row))


def test_unknown_trailing_fields_are_ignored() -> None:
    row = msgpack.unpackb(encode(PING))
    assert decode(msgpack.packb([*row, "new", [1, 2]])) == PING


def test_unknown_fields_of_alive_news_are_kept_when_it_is_handed_on() -> None:
    row = [*msgpack.unpackb(encode(ALIVE)), "zone-7", [1, 2]]
    news = decode(msgpack.packb(row))
    assert isinstance(news, Alive)
    assert msgpack.unpackb(encode(news)) == row


def test_too_many_unknown_bytes_in_alive_news_are_refused() -> None:
    row = [*msgpack.unpackb(encode(ALIVE)), b"x" * 200]
    with pytest.raises(Malformed, match="unknown fields"):
        decode(msgpack.packb(row))


@thorough
@given(st.lists(datagram_messages, max_size=8))
def test_a_datagram_holds_several_messages(several: list[Any]) -> None:
    if sum(encoded_size(message) for message in several) > limits.DATAGRAM_PAYLOAD_BYTES_MAX:
        with pytest.raises(Malformed):
            encode_many(several)
    else:
        assert decode_many(encode_many(several)) == (tuple(several), 0)


@given(st.integers(0, 300))
def test_a_truncated_compound_keeps_its_good_parts(cut: int) -> None:
    parts: list[GossipMessage] = [PING, Ack(1, 2), ALIVE]
    data = encode_many(parts)
    sizes = [encoded_size(part) for part in parts]
    kept, bad = decode_many(data[:cut])
    whole = sum(1 for upto in range(1, 4) if sum(sizes[:upto]) <= cut)
    assert kept == tuple(parts[:whole])
    assert bad == (cut < len(data) and cut != sum(sizes[:whole]))


def test_a_bad_part_spoils_no_other() -> None:
    good = encode_many([Ack(1, 2)])
    assert decode_many(good + b"\x00\x01\xc1" + good) == ((Ack(1, 2), Ack(1, 2)), 1)


@given(stream_gossip)
def test_stream_messages_in_a_datagram_are_refused(message: Any) -> None:
    data = encode(message)
    compound = len(data).to_bytes(2, "big") + data
    assert decode_many(compound) == ((), 1)


@thorough
@given(st.binary(max_size=limits.DATAGRAM_PAYLOAD_BYTES_MAX + 10))
def test_no_datagram_raises(data: bytes) -> None:
    kept, bad = decode_many(data)
    assert len(kept) + bad <= limits.DATAGRAM_PARTS_MAX + 1


def test_a_datagram_of_empty_parts_is_counted_and_ends() -> None:
    kept, bad = decode_many(bytes(limits.DATAGRAM_PAYLOAD_BYTES_MAX))
    assert kept == ()
    assert bad == limits.DATAGRAM_PARTS_MAX + 1


def test_an_oversized_datagram_is_not_looked_at() -> None:
    assert decode_many(encode_many([Ack(1, 2)]) * 300) == ((), 1)


def test_a_stream_answer_is_small() -> None:
    assert len(encode(StreamAck(2**64 - 1))) == 11
