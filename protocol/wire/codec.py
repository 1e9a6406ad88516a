"""Bytes to messages and back: THE trust boundary between peers.

Decides what bytes may mean: sizes are capped before anything is unpacked, maps and extension types are refused, every
field is checked by hand. Whatever the input, the only exception is `protocol.errors.Malformed`. Refuses to know who
sent the bytes (`wire.seal`, the mesh port's certificates) and what the messages lead to.

One message is one msgpack list `[tag, field, ...]`. A datagram holds several, each behind its length in two bytes (big
endian), so that a truncated one keeps its good parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast, get_args

import msgpack

from protocol import limits
from protocol.errors import Malformed
from protocol.wire import delivery_rows, gossip_rows, key_rows, work_rows
from protocol.wire.fields import Row, shallow
from protocol.wire.gossip import DatagramMessage, GossipMessage
from protocol.wire.work import WorkMessage

PART_BYTES: Final = 2  # the length before each part of a datagram

_WRITERS = {**gossip_rows.WRITERS, **work_rows.WRITERS, **delivery_rows.WRITERS, **key_rows.WRITERS}
_READERS: Final[dict[int, tuple[int, Any]]] = {
    **gossip_rows.READERS,
    **work_rows.READERS,
    **delivery_rows.READERS,
    **key_rows.READERS,
}
_DATAGRAM_TYPES: Final = frozenset(get_args(DatagramMessage))
_pack = msgpack.Packer().pack


def encode(message: GossipMessage | WorkMessage) -> bytes:
    """One message as bytes, at most `limits.MESSAGE_BYTES_MAX` of them.

    Raises `Malformed` for one that cannot be written: too large, lone surrogates, a number above 64 bits.
    """
    try:
        data = cast(bytes, _pack(_WRITERS[type(message)](message)))
    except (ValueError, OverflowError, TypeError) as fault:
        raise Malformed(f"a {type(message).__name__} that cannot be written: {str(fault)[:200]}") from fault
    if len(data) > limits.MESSAGE_BYTES_MAX:
        raise Malformed(f"a {type(message).__name__} of {len(data)} bytes; at most {limits.MESSAGE_BYTES_MAX}")
    return data


def decode(data: bytes) -> GossipMessage | WorkMessage:
    """The message in `data`. Raises `Malformed` and nothing else, whatever the bytes."""
    if len(data) > limits.MESSAGE_BYTES_MAX:
        raise Malformed(f"a message of {len(data)} bytes; at most {limits.MESSAGE_BYTES_MAX}")
    row = _unpacked(data)
    entry = _READERS.get(row[0])
    if entry is None:
        raise Malformed(f"a message with the unknown tag {row[0]}")
    fields, read = entry
    if len(row) != fields:
        _check_length(row, fields)
    return cast("GossipMessage | WorkMessage", read(row))


def encode_many(messages: Iterable[GossipMessage]) -> bytes:
    """Messages as the inside of one datagram. Raises `Malformed` when they exceed `limits.DATAGRAM_PAYLOAD_BYTES_MAX`."""
    parts: list[bytes] = []
    for message in messages:
        part = encode(message)
        parts += (len(part).to_bytes(PART_BYTES, "big") if len(part) < 65_536 else b"", part)
    data = b"".join(parts)
    if len(data) > limits.DATAGRAM_PAYLOAD_BYTES_MAX:
        raise Malformed(f"a datagram of {len(data)} bytes; at most {limits.DATAGRAM_PAYLOAD_BYTES_MAX} before sealing")
    return data


def decode_many(data: bytes) -> tuple[tuple[GossipMessage, ...], int]:
    """The good messages of one datagram, and how many parts were malformed (a cut one, too many, stream-only ones)."""
    if len(data) > limits.DATAGRAM_PAYLOAD_BYTES_MAX:
        return (), 1
    messages: list[GossipMessage] = []
    bad = at = 0
    while at < len(data):
        end = at + PART_BYTES + int.from_bytes(data[at : at + PART_BYTES], "big")
        if at + PART_BYTES > len(data) or end > len(data) or len(messages) + bad == limits.DATAGRAM_PARTS_MAX:
            return tuple(messages), bad + 1
        try:
            messages.append(_decode_part(data[at + PART_BYTES : end]))
        except Malformed:
            bad += 1
        at = end
    return tuple(messages), bad


def encoded_size(message: GossipMessage) -> int:
    """Bytes that `message` takes in a datagram, its length included."""
    return len(encode(message)) + PART_BYTES


def _decode_part(data: bytes) -> GossipMessage:
    message = decode(data)
    if type(message) not in _DATAGRAM_TYPES:
        raise Malformed(f"a {type(message).__name__} in a datagram; it belongs on a stream")
    return cast(GossipMessage, message)


def _unpacked(data: bytes) -> Row:
    try:
        row = msgpack.unpackb(data, max_array_len=limits.MESSAGE_ITEMS_MAX, max_map_len=0, max_ext_len=0)
    except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException) as fault:
        raise Malformed(f"not a message: {type(fault).__name__}: {str(fault)[:200]}") from fault
    if type(row) is not list or not row or type(row[0]) is not int:
        raise Malformed("a message must be a list that begins with its tag")
    return row


def _check_length(row: Row, fields: int) -> None:
    if len(row) < fields:
        raise Malformed(f"a message of {len(row)} items under the tag {row[0]}; expected {fields}")
    if not shallow(row[fields:], limits.MESSAGE_DEPTH_MAX):
        raise Malformed("nested too deeply")
