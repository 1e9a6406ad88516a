"""The leaves of a message: ids, numbers, texts and addresses, checked by hand.

Decides what a field from another process may hold: type, length, range. Every reader takes whatever msgpack unpacked
and raises `Malformed`, nothing else. Refuses to know which message a field stands in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final, TypeVar

from protocol import limits
from protocol.errors import Malformed
from protocol.ids import Address, AttemptId, Fence, PeerId, shared

Row = list[Any]  # what msgpack carries: nested lists of int, float, bool, str, bytes and None
ItemT = TypeVar("ItemT")

PEER_BYTES: Final = 32
UINT64_MAX: Final = 2**64 - 1
HOST_CHARS_MAX: Final = 64  # the longest IPv6 literal with a scope


def uint(value: object, most: int = UINT64_MAX) -> int:
    """A whole number from 0 to `most`."""
    if type(value) is not int or not 0 <= value <= most:
        raise Malformed(f"expected a whole number from 0 to {most}")
    return value


def whole(value: object, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:
        raise Malformed(f"expected a whole number from {low} to {high}")
    return value


def flag(value: object) -> bool:
    """True or false, nothing that merely looks like it."""
    if value is True or value is False:
        return value
    raise Malformed("expected true or false")


def duration(value: object, most: float = limits.DURATION_S_MAX) -> float:
    """A finite number from 0 to `most`."""
    if type(value) is not float and type(value) is not int:
        raise Malformed("expected a number")
    if not math.isfinite(value) or not 0 <= value <= most:
        raise Malformed(f"expected a number from 0 to {most}")
    return float(value)


def text(value: object, chars_max: int) -> str:
    """Text of at most `chars_max` characters."""
    if type(value) is not str or len(value) > chars_max:
        raise Malformed(f"expected text of at most {chars_max} characters")
    return value


def blob(value: object, bytes_max: int) -> bytes:
    """At most `bytes_max` bytes."""
    if type(value) is not bytes or len(value) > bytes_max:
        raise Malformed(f"expected at most {bytes_max} bytes")
    return value


def octets(value: object, length: int) -> bytes:
    """Exactly `length` bytes."""
    if type(value) is not bytes or len(value) != length:
        raise Malformed(f"expected {length} bytes")
    return value


def hexadecimal(value: object, length: int) -> str:
    """Exactly `length` bytes, as lowercase hexadecimal text of twice as many digits."""
    return octets(value, length).hex()


def peer(value: object) -> PeerId:
    """A peer id, the same text object for the same id: a fact of each frame names several."""
    if type(value) is not bytes or len(value) != PEER_BYTES:
        raise Malformed(f"expected a peer id of {PEER_BYTES} bytes")
    return PeerId(shared(value.hex()))


def sequence(value: object, least: int, most: int) -> Row:
    """A list of `least` to `most` items."""
    if type(value) is not list or not least <= len(value) <= most:
        raise Malformed(f"expected a list of {least} to {most} items")
    return value


def items(value: object, most: int, read: Callable[[object], ItemT]) -> tuple[ItemT, ...]:
    """A list of at most `most` items, each read by `read`."""
    return tuple([read(item) for item in sequence(value, 0, most)])


def address(host: object, port: object) -> Address:
    """A literal IP address and a port from 1 to 65535."""
    if type(host) is not str or len(host) > HOST_CHARS_MAX or not _is_literal(host):
        raise Malformed("expected a literal IP address")
    return Address(host, whole(port, 1, 65_535))


def fence_row(fence: Fence) -> Row:
    """A fence as a row, for `fence`."""
    return [fence.epoch, bytes.fromhex(fence.peer)]


def fence(value: object) -> Fence:
    """`[epoch, peer]`."""
    epoch, owner = sequence(value, 2, 2)
    return Fence(uint(epoch, limits.EPOCH_MAX), peer(owner))


def attempt_row(attempt: AttemptId) -> Row:
    """An attempt as a row, for `attempt`."""
    return [attempt.epoch, bytes.fromhex(attempt.owner), attempt.counter]


def attempt(value: object) -> AttemptId:
    """`[epoch, owner, counter]`."""
    epoch, owner, counter = sequence(value, 3, 3)
    return AttemptId(uint(epoch, limits.EPOCH_MAX), peer(owner), uint(counter, limits.ATTEMPT_COUNTER_MAX))


def shallow(value: object, depth: int) -> bool:
    """Whether lists nest at most `depth` deep in `value`; it looks no further than that."""
    if type(value) is not list:
        return True
    return depth > 0 and all(shallow(item, depth - 1) for item in value)


@lru_cache(maxsize=limits.ADDRESSES_REMEMBERED)
def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
