"""Messages about keys as plain lists and back: `[tag, field, ...]`, the fields in the order of the dataclass.

Tags are never used twice. Trailing fields of a newer version are ignored. Every reader raises `Malformed` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from protocol import limits
from protocol.wire.fields import Row, flag, hexadecimal, items, octets, peer, sequence, uint
from protocol.wire.keys import KeyGiven, KeyMessage, KeysHeld
from protocol.wire.seal import KEY_BYTES

KEYS_HELD: Final = 64
KEY_GIVEN: Final = 65

FINGERPRINT_BYTES: Final = 8


def _held_row(one: KeysHeld) -> Row:
    counter, name = one.used
    return [KEYS_HELD, _names(one.keys), [counter, bytes.fromhex(name)], _names(one.removed), one.reply]


def _names(fingerprints: tuple[str, ...]) -> Row:
    return [bytes.fromhex(one) for one in fingerprints]


def _given_row(one: KeyGiven) -> Row:
    return [KEY_GIVEN, one.key, None if one.audience is None else [bytes.fromhex(name) for name in one.audience]]


WRITERS: Final[dict[type[Any], Callable[[Any], Row]]] = {KeysHeld: _held_row, KeyGiven: _given_row}


def _read_held(row: Row) -> KeysHeld:
    counter, name = sequence(row[2], 2, 2)
    return KeysHeld(
        keys=items(row[1], limits.KEYS_PER_RING_MAX, _fingerprint),
        used=(uint(counter, limits.EPOCH_MAX), _fingerprint(name)),
        removed=items(row[3], limits.KEYS_REMOVED_REMEMBERED_MAX, _fingerprint),
        reply=flag(row[4]),
    )


def _read_given(row: Row) -> KeyGiven:
    audience = None if row[2] is None else items(row[2], limits.MESSAGE_ITEMS_MAX, peer)
    return KeyGiven(octets(row[1], KEY_BYTES), audience)


def _fingerprint(value: object) -> str:
    return hexadecimal(value, FINGERPRINT_BYTES)


# tag: (number of items with the tag, reader); a shorter row is malformed, a longer one comes from a newer version
READERS: Final[dict[int, tuple[int, Callable[[Row], KeyMessage]]]] = {
    KEYS_HELD: (5, _read_held),
    KEY_GIVEN: (3, _read_given),
}
