"""Frame ranges: what people write, what it means, and what is refused with which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import Invalid
from protocol.jobs.frames import Frames, check_frames, format_frames, parse_frames
from tests.fuzzing import examples, refused, texts

NUMBERS = st.sets(st.integers(limits.FRAME_NUMBER_MIN, limits.FRAME_NUMBER_MAX), max_size=60)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1", [1]),
        ("1-3", [1, 2, 3]),
        ("1-3,60,100-110x5", [1, 2, 3, 60, 100, 105, 110]),
        ("5-5", [5]),
        ("-3--1", [-3, -2, -1]),
        (" 1 - 7 x 3 , 2 ", [1, 2, 4, 7]),
        ("3,1-3,2", [1, 2, 3]),
        ("1-10x100", [1]),
    ],
)
def test_ranges_are_read_into_a_sorted_set(text: str, numbers: list[int]):
    assert list(parse_frames(text)) == numbers


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("48-1", "bad_frames", "write 1-48"),
        ("abc", "bad_frames", "cannot read 'abc'"),
        ("", "bad_frames", "write for example"),
        ("1,,2", "bad_frames", "cannot read ''"),
        ("1-2-3", "bad_frames", "cannot read"),
        ("1-9x0", "bad_frames", "at least 1"),
        ("1.5", "bad_frames", "cannot read"),
        ("0-1048575", "bad_frames", "leaves Blender's range"),
        ("-1048575", "bad_frames", "leaves Blender's range"),
        ("-500000-500000", "too_many_frames", "1,000,001 frames"),
        ("1-900000,1-900000", "too_many_frames", "Split it"),
        ("1" * (limits.FRAMES_TEXT_CHARS_MAX + 1), "bad_frames", "longer than"),
        ("9" * 5_000, "bad_frames", "cannot read"),  # int() gives up on so many digits with an error of its own
        ("1-" + "9" * 5_000, "bad_frames", "cannot read"),
        ("1-9x" + "9" * 5_000, "bad_frames", "cannot read"),
        ("9" * 20, "bad_frames", "leaves Blender's range"),
        ("١-٣", "bad_frames", "cannot read"),  # digits, but nobody could type them back
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, code: str, hint: str):
    with pytest.raises(Invalid) as caught:
        parse_frames(text)
    assert caught.value.code == code
    assert hint in caught.value.message


def test_a_million_frames_are_the_most():
    assert len(parse_frames("1-1000000")) == limits.FRAMES_PER_JOB_MAX


@examples(300)
@given(st.text("0123456789-x, \t\n١²a", max_size=30) | st.lists(texts, max_size=4).map(",".join))
def test_any_text_is_frames_or_refused_with_a_code(text: str):
    error, quick = refused(parse_frames, text, by=Invalid), refused(check_frames, text, by=Invalid)
    if error is None:
        assert quick is None
        frames = parse_frames(text)
        assert parse_frames(format_frames(frames)) == frames
    else:
        assert error.code in ("bad_frames", "too_many_frames")
        assert len(error.message) < 2_000
        assert str(quick) == str(error)


@given(NUMBERS.filter(bool))
def test_what_is_written_is_read_as_the_same(numbers: set[int]):
    assert parse_frames(format_frames(sorted(numbers))) == Frames(numbers)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], ""),
        ([7], "7"),
        ([1, 2], "1-2"),
        ([1, 5], "1,5"),
        ([1, 3, 5], "1-5x2"),
        ([1, 2, 3, 10, 20], "1-3,10,20"),
        ([-2, -1, 0], "-2-0"),
    ],
)
def test_the_shortest_plain_text(numbers: list[int], text: str):
    assert format_frames(numbers) == text


@given(NUMBERS)
def test_frames_are_a_sequence_and_a_set(numbers: set[int]):
    frames = Frames(numbers)
    assert list(frames) == sorted(numbers)
    assert len(frames) == len(numbers)
    assert [frames.index(frames[at]) for at in range(len(frames))] == list(range(len(frames)))
    assert all(frame in frames for frame in numbers)
    assert frames == Frames(sorted(numbers))
    assert hash(frames) == hash(Frames(sorted(numbers)))


def test_what_is_not_in_it_has_no_place():
    frames = Frames([1, 3])
    assert [frames.index(number) for number in (0, 2, 4)] == [None, None, None]
    assert "1" not in frames
    assert frames != [1, 3]
    assert repr(frames) == "Frames('1,3')"
