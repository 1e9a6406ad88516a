from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given

from protocol import limits
from protocol.errors import Malformed
from protocol.ids import JobId
from protocol.wire import work_rows
from protocol.wire.codec import decode, encode
from protocol.wire.delivery import DeliveryMessage
from protocol.wire.keys import KeyMessage
from protocol.wire.work import Draining, Facts, Granted, Lease, Progress, WorkMessage
from tests.protocol.wire.strategies import work_leases


def test_each_message_has_a_writer_and_a_reader() -> None:
    assert set(work_rows.WRITERS) == set(get_args(WorkMessage)) - set(get_args(KeyMessage)) - set(get_args(DeliveryMessage))
    assert len(work_rows.READERS) == len(work_rows.WRITERS)


@given(work_leases())
def test_a_lease_whose_lists_do_not_match_is_malformed(lease: Lease) -> None:
    torn = replace(lease, inspect=False, frames=(1, 2), generations=(0,), attempts=())
    with pytest.raises(Malformed, match="do not match"):
        decode(encode(Granted(1, (torn,))))


def test_a_fraction_above_one_is_malformed() -> None:
    with pytest.raises(Malformed):
        decode(encode(Progress(((JobId("ab" * 16), 1, 1.0, 1.5),))))


def test_more_facts_than_a_message_may_hold_are_malformed() -> None:
    row: list[Any] = [work_rows.FACTS, b"j" * 16, [None] * (limits.FACTS_PER_MESSAGE_MAX + 1), [], False]
    _, read = work_rows.READERS[work_rows.FACTS]
    with pytest.raises(Malformed):
        read(row)
    assert read([work_rows.FACTS, b"j" * 16, [], [], False]) == Facts(JobId("6a" * 16), (), (), False)


def test_a_state_of_draining_that_does_not_exist_is_malformed() -> None:
    _, read = work_rows.READERS[work_rows.DRAINING]
    assert read([work_rows.DRAINING, "active"]) == Draining("active")
    with pytest.raises(Malformed):
        read([work_rows.DRAINING, "asleep"])
