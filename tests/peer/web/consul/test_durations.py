from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.web.consul.durations import CHARS_MAX, as_seconds, parse_duration
from tests.fuzzing import json_values, texts


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10.0), ("1h30m", 5_400.0), ("250ms", 0.25), ("1.5s", 1.5), ("0", 0.0), ("-5s", -5.0), ("2us", 2e-6), ("2µs", 2e-6)],
)
def test_durations_as_go_reads_them(text: str, seconds: float):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "soon", "1d", "10s!", "١s", "1e3s", "1s" * 100, "--5s"])
def test_what_is_no_duration_is_named(text: str):
    with pytest.raises(ValueError, match="time: invalid duration"):
        parse_duration(text)


def test_numbers_are_nanoseconds_and_null_is_none():
    assert as_seconds(10_000_000_000) == 10.0
    assert as_seconds(None) == as_seconds("") == 0.0
    odd: tuple[object, ...] = (True, [], {}, 10**30, float("inf"), float("nan"))
    for value in odd:
        with pytest.raises(ValueError):
            as_seconds(value)


UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0}
PARTS = st.tuples(st.integers(0, 10**9), st.sampled_from(sorted(UNITS)))


@given(st.sampled_from(["", "+", "-"]), st.lists(PARTS, min_size=1, max_size=4))
def test_a_sum_of_parts_is_their_sum(sign: str, parts: list[tuple[int, str]]):
    text = sign + "".join(f"{number}{unit}" for number, unit in parts)
    seconds = sum(number * UNITS[unit] for number, unit in parts) * (-1 if sign == "-" else 1)
    assert parse_duration(text) == pytest.approx(seconds)


@given(st.text("0123456789.+-nuµmsh ", max_size=CHARS_MAX + 2) | texts)
def test_any_text_is_a_finite_number_or_refused_in_gos_words(text: str):
    try:
        assert math.isfinite(parse_duration(text))
    except ValueError as error:
        assert str(error).startswith("time: invalid duration")  # noqa: PT017 - both are right


@given(json_values)
def test_any_value_is_a_finite_number_or_refused(value: object):
    try:
        assert math.isfinite(as_seconds(value))
    except ValueError:
        return
