"""Messages about delivery as plain lists and back: `[tag, field, ...]`, the fields in the order of the dataclass.

Tags are never used twice. Trailing fields of a newer version are ignored. Every reader raises `Malformed` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from protocol import limits
from protocol.errors import Malformed
from protocol.ids import JobId
from protocol.jobs.foreign import file_name
from protocol.jobs.parcels import Parcel, Placed
from protocol.jobs.results import FrameResult
from protocol.ledger.rows import result_from_wire, result_to_wire
from protocol.wire.delivery import Carried, Carry, DeliveryMessage
from protocol.wire.fields import Row, flag, hexadecimal, items, peer, sequence, text, uint, whole

CARRY: Final = 72
CARRIED: Final = 73

HASH_BYTES: Final = 32
_raw = bytes.fromhex


def _carry_row(one: Carry) -> Row:
    parcels = [_parcel_row(parcel) for parcel in one.parcels]
    return [CARRY, _raw(one.job), one.number, one.root, one.folder, one.sweep, parcels, [_raw(each) for each in one.holders]]


def _parcel_row(one: Parcel) -> Row:
    outputs = result_to_wire(FrameResult(one.outputs, None, 0.0))
    return [one.frame, one.generation, list(one.names), outputs, [_raw(each) for each in one.replaces]]


def _carried_row(one: Carried) -> Row:
    placed = [[each.frame, each.generation, list(each.conflicts)] for each in one.placed]
    return [CARRIED, _raw(one.job), one.number, placed, one.code, one.reason]


WRITERS: Final[dict[type[Any], Callable[[Any], Row]]] = {Carry: _carry_row, Carried: _carried_row}


def _read_carry(row: Row) -> Carry:
    return Carry(
        job=JobId(hexadecimal(row[1], 16)),
        number=uint(row[2]),
        root=text(row[3], limits.ROOT_CHARS_MAX),
        folder=file_name(row[4]) if row[4] != "" else "",
        sweep=flag(row[5]),
        parcels=items(row[6], limits.PARCELS_PER_CARRY_MAX, _parcel),
        holders=items(row[7], limits.MESSAGE_ITEMS_MAX, peer),
    )


def _parcel(value: object) -> Parcel:
    frame, generation, names, result, replaces = sequence(value, 5, 5)
    outputs = result_from_wire(result).outputs
    read = items(names, limits.OUTPUTS_PER_FRAME_MAX, file_name)
    if len(read) != len(outputs) or len(set(read)) != len(read):
        raise Malformed("expected one name, unlike the others, for each output")
    return Parcel(_frame(frame), _generation(generation), read, outputs, items(replaces, limits.REPLACED_HASHES_MAX, _hash))


def _read_carried(row: Row) -> Carried:
    placed = items(row[3], limits.PARCELS_PER_CARRY_MAX, _placed)
    job, number = JobId(hexadecimal(row[1], 16)), uint(row[2])
    return Carried(job, number, placed, text(row[4], limits.TEXT_CHARS_MAX), text(row[5], limits.REASON_CHARS_MAX))


def _placed(value: object) -> Placed:
    frame, generation, conflicts = sequence(value, 3, 3)
    return Placed(_frame(frame), _generation(generation), items(conflicts, limits.OUTPUTS_PER_FRAME_MAX, file_name))


def _frame(value: object) -> int:
    return whole(value, limits.FRAME_NUMBER_MIN, limits.FRAME_NUMBER_MAX)


def _generation(value: object) -> int:
    return uint(value, limits.GENERATIONS_MAX)


def _hash(value: object) -> str:
    return hexadecimal(value, HASH_BYTES)


# tag: (number of items with the tag, reader); a shorter row is malformed, a longer one comes from a newer version
READERS: Final[dict[int, tuple[int, Callable[[Row], DeliveryMessage]]]] = {
    CARRY: (8, _read_carry),
    CARRIED: (6, _read_carried),
}
