"""Columns and chains against plain dictionaries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.ledger.columns import SPAN, Chains, Column

FRAMES = st.one_of(
    st.integers(-3, 3), st.integers(SPAN - 2, SPAN + 2), st.sampled_from([limits.FRAME_NUMBER_MIN, limits.FRAME_NUMBER_MAX])
)


@given(st.lists(st.tuples(FRAMES, st.integers(0, 3))))
def test_a_column_is_a_dictionary_of_what_is_not_zero(steps: list[tuple[int, int]]):
    column, model = Column("I"), dict[int, int]()
    for frame, number in steps:
        column[frame] = number
        model[frame] = number
    held = {frame: number for frame, number in sorted(model.items()) if number}
    assert {frame: column[frame] for frame in column} == held
    assert list(column) == list(held)
    for last in (limits.FRAME_NUMBER_MIN - 1, *model, SPAN):
        assert list(column.after(last)) == [frame for frame in held if frame > last]
    assert list(column.having(2)) == [frame for frame, number in held.items() if number == 2]


def test_a_number_that_has_no_room_is_refused():
    column = Column("B")
    with pytest.raises(OverflowError):
        column[1] = 256


@given(st.lists(st.tuples(FRAMES, st.tuples(st.integers(0, 5), st.integers(0, 2**32 - 1)))))
def test_a_chain_keeps_the_order_in_which_its_pairs_came(pairs: list[tuple[int, tuple[int, int]]]):
    chains = Chains()
    for frame, pair in pairs:
        chains.add(frame, pair)
    for frame in {frame for frame, _ in pairs}:
        assert frame in chains
        assert chains.of(frame) == [pair for one, pair in pairs if one == frame]
    assert 77 not in chains
    assert chains.of(77) == []
