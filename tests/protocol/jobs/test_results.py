from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocol.jobs.results import recordable
from tests.fuzzing import texts


@given(texts, st.integers(0, 60))
def test_any_text_becomes_one_that_a_row_can_hold(text: str, most: int):
    shown = recordable(text, most)
    assert len(shown) <= most
    assert recordable(shown, most) == shown.encode().decode() == shown


def test_plain_text_stays_as_it_is():
    assert recordable("größer als 1") == "größer als 1"
    assert recordable("a\udcffb") == "a?b"
