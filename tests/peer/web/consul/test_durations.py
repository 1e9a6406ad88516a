from __future__ import annotations

import pytest

from peer.web.consul.durations import as_seconds, parse_duration


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
