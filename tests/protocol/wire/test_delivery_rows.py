from __future__ import annotations

from typing import get_args

import msgpack
import pytest

from protocol.errors import Malformed
from protocol.jobs.parcels import Parcel, Placed
from protocol.wire.codec import decode, encode
from protocol.wire.delivery import Carried, Carry, DeliveryMessage
from protocol.wire.delivery_rows import CARRIED, CARRY, READERS, WRITERS
from tests.protocol.making import ANNA, BEN, JOB, digest, output

PARCEL = Parcel(-3, 2, ("film/0003.png",), (output(3),), (digest("older"),))
CARRY_ROW = Carry(JOB, 7, "farm", "film/010", False, (PARCEL,), (ANNA, BEN))


@pytest.mark.parametrize(
    "message",
    [
        CARRY_ROW,
        Carry(JOB, 2**40, "farm", "", True, (), ()),
        Carried(JOB, 7, (Placed(-3, 2, ("a.png",)), Placed(4, 0)), "output_root_full", "no space"),
    ],
)
def test_they_come_back_as_they_were(message: Carry | Carried):
    assert decode(encode(message)) == message


def test_each_message_has_a_writer_and_a_reader():
    assert set(WRITERS) == set(get_args(DeliveryMessage))
    assert len(READERS) == len(WRITERS)


def carry_with(**fields: object) -> bytes:
    row = msgpack.unpackb(encode(CARRY_ROW))
    assert row[0] == CARRY
    for at, value in fields.items():
        row[int(at.removeprefix("f"))] = value
    return bytes(msgpack.packb(row))


@pytest.mark.parametrize(
    "fields",
    [
        {"f4": "../elsewhere"},
        {"f4": "/etc"},
        {"f4": "a//b"},
        {"f3": "x" * 321},
        {"f5": 1},
        {"f6": [[1, 0, [], [[], None, 0.0, "cpu", None], [b"short"]]]},
        {"f6": [[1, 0, ["../x"], [[], None, 0.0, "cpu", None], []]]},
        {"f6": [[1, 0, ["x"], [[], None, 0.0, "cpu", None], []]]},
        {"f6": [[1, 0, [], [[], None, 0.0, "cpu", None], []]] * 33},
    ],
)
def test_names_that_leave_the_folder_and_counts_that_do_not_fit_are_malformed(fields: dict[str, object]):
    with pytest.raises(Malformed):
        decode(carry_with(**fields))


def test_a_conflict_with_a_strange_name_is_malformed():
    row = [CARRIED, bytes.fromhex(JOB), 1, [[1, 0, ["/etc/passwd"]]], "", ""]
    with pytest.raises(Malformed):
        decode(bytes(msgpack.packb(row)))
