import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.cli.failures import CliError, Exit
from peer.cli.ranges import compact, parse_ranges
from tests.fuzzing import refused, texts


def test_ranges_steps_and_negative_frames() -> None:
    assert [list(numbers) for numbers in parse_ranges("1-3, 7,10-20x5,-2--1")] == [[1, 2, 3], [7], [10, 15, 20], [-2, -1]]


@pytest.mark.parametrize(
    "text", ["", "abc", "48-1", "1-9x0", "1,,2", "1-", "x" * 70_000, "9" * 5_000, "1-9x" + "9" * 5_000, "\u0661"]
)
def test_what_means_nothing_is_usage(text: str) -> None:
    with pytest.raises(CliError) as caught:
        parse_ranges(text)
    assert caught.value.exit_code is Exit.USAGE


@given(st.sets(st.integers(-50, 50), min_size=1))
def test_compact_says_the_same(numbers: set[int]) -> None:
    assert {number for part in parse_ranges(compact(numbers)) for number in part} == numbers


def test_nothing_is_nothing() -> None:
    assert compact([]) == ""


@given(st.text("0123456789-x, ", max_size=20) | texts)
def test_any_text_is_ranges_or_usage(text: str) -> None:
    error = refused(parse_ranges, text, by=CliError)
    assert error.exit_code is Exit.USAGE if error is not None else all(len(numbers) > 0 for numbers in parse_ranges(text))
