from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import Malformed
from protocol.summaries import JOB_STATES, job_key, summary_from_bytes, summary_to_bytes
from protocol.views import Counts, JobView, Reason
from tests.protocol.making import ANNA, BEN, JOB, job_view

FULL: JobView = replace(
    job_view(), frames=Counts(9, 1, 2, 3, 1, 2), progress=0.5, eta_s=12.5, error="it broke", labels=("room=7",), started_ms=5,
    waiting_because=(Reason("peers_busy", "x", "y", ANNA),), held_because=(Reason("missing_file", "x"),), finished_ms=6,
    only_on=BEN, version=7, generation=3, key="0123456789abcdef",
)  # fmt: skip


def test_a_summary_comes_back_as_it_was():
    assert summary_from_bytes(summary_to_bytes(FULL)) == FULL
    assert summary_from_bytes(summary_to_bytes(job_view())) == job_view()
    assert job_key(JOB) == f"job/{JOB}"


@pytest.mark.parametrize("state", JOB_STATES)
def test_every_state_travels(state: str):
    assert summary_from_bytes(summary_to_bytes(replace(FULL, state=state))).state == state  # type: ignore[arg-type]


def test_many_reasons_are_cut():
    many = replace(FULL, waiting_because=tuple(Reason(f"r{at}", "x") for at in range(99)))
    assert len(summary_from_bytes(summary_to_bytes(many)).waiting_because) == limits.REASONS_PER_SUMMARY_MAX


@given(st.binary(max_size=300))
def test_garbage_is_malformed(data: bytes):
    with pytest.raises(Malformed):
        summary_from_bytes(data)


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, "xyz"), (0, "AB" * 16), (2, "dancing"), (3, 101), (4, "short"), (6, ["short"]), (7, [1, 2]), (7, [-1] * 6),
     (7, "123456"), (8, None), (10, [["only a code"]]), (19, -5), (22, -1), (23, "short")],
)  # fmt: skip
def test_a_field_that_does_not_fit_is_malformed(at: int, value: object):
    row = msgpack.unpackb(summary_to_bytes(FULL))
    row[at] = value
    with pytest.raises(Malformed):
        summary_from_bytes(msgpack.packb(row))
