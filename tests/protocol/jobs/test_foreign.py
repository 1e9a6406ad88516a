from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import Malformed
from protocol.jobs import foreign
from protocol.jobs.frames import parse_frames
from protocol.jobs.manifest import clean_name
from protocol.jobs.spec import canonical, read_spec
from tests.fuzzing import json_values, texts
from tests.protocol.specs import spec_texts

READERS: tuple[Callable[[object], str], ...] = (
    foreign.file_name,
    foreign.frames_text,
    foreign.spec_text,
    lambda value: foreign.register_value("priority", value),
    lambda value: foreign.register_value("paused", value),
)


@given(st.sampled_from(READERS), json_values | st.binary() | texts)
def test_anything_is_text_or_malformed(read: Callable[[object], str], value: Any):
    try:
        assert read(value) == value
    except Malformed:
        return


@given(st.text(max_size=20))
def test_a_name_that_passes_is_in_its_plain_form(text: str):
    try:
        assert clean_name(foreign.file_name(text)) == text
    except Malformed:
        return


@given(st.text("0123456789-x, ", max_size=12))
def test_frames_that_pass_can_be_read(text: str):
    try:
        assert len(parse_frames(foreign.frames_text(text))) > 0
    except Malformed:
        return


@given(spec_texts)
def test_a_specification_passes_as_it_is(text: str):
    assert canonical(read_spec(foreign.spec_text(text))) == text


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"farmes":"1"}', '{"frames":"48-1"}', '{"settings":{"a":1e999}}', "x" * 300_000]
)
def test_what_is_no_specification_is_malformed(text: str):
    with pytest.raises(Malformed):
        foreign.spec_text(text)


@pytest.mark.parametrize("text", ["0", "50", "100", "007"])
def test_a_priority_is_a_number(text: str):
    assert foreign.register_value("priority", text) == text


@pytest.mark.parametrize("text", ["", "-1", "101", "high", "5.0", " 5", "٥", "²", "9" * 5_000])
def test_what_is_no_priority_is_malformed(text: str):
    with pytest.raises(Malformed):
        foreign.register_value("priority", text)


def test_other_registers_hold_any_text_of_a_bounded_length():
    assert foreign.register_value("accepted_warnings", "a,b") == "a,b"
    with pytest.raises(Malformed):
        foreign.register_value("accepted_warnings", "x" * (limits.CONTROL_CHARS_MAX + 1))
