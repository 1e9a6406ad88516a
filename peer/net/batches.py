"""Several messages in one request body: a 4-byte big-endian length before each.

Decides the framing only. Refuses to know what a message says.
"""

from __future__ import annotations

from collections.abc import Iterable

from protocol.errors import Malformed
from protocol.limits import MESSAGE_BYTES_MAX, MESSAGES_PER_POST_MAX

LENGTH_BYTES = 4


def join(payloads: Iterable[bytes]) -> bytes:
    """One body of all payloads, in order."""
    return b"".join(part for payload in payloads for part in (len(payload).to_bytes(LENGTH_BYTES, "big"), payload))


def split(body: bytes) -> list[bytes]:
    """The payloads of a body, in order.

    Raises `Malformed` when a length leads outside, is above `MESSAGE_BYTES_MAX`, or there are too many."""
    payloads: list[bytes] = []
    position = 0
    while position < len(body):
        start = position + LENGTH_BYTES
        length = int.from_bytes(body[position:start], "big")
        if start > len(body) or length > MESSAGE_BYTES_MAX or start + length > len(body):
            raise Malformed(f"message {len(payloads)} leads outside a body of {len(body)} bytes")
        if len(payloads) == MESSAGES_PER_POST_MAX:
            raise Malformed(f"more than {MESSAGES_PER_POST_MAX} messages in one body")
        payloads.append(body[start : start + length])
        position = start + length
    return payloads
