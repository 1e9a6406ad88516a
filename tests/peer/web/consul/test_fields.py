from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.web.consul.fields import Fields, plain_text
from peer.web.problems import Refused
from tests.fuzzing import examples, json_values, refused, texts


def test_names_are_read_in_any_case_and_without_underscores():
    fields = Fields.of({"enable_tag_override": True, "NAME": "web", "pOrT": 80}, "the body")
    assert fields.flag("EnableTagOverride") is True
    assert fields.text("Name", 10) == "web"
    assert fields.number("Port", 0, 65_535) == 80


def test_null_and_nothing_are_the_same():
    for fields in (Fields.of(None, "x"), Fields.of({"Tags": None, "Port": None, "Check": None, "Meta": None}, "x")):
        assert fields.texts("Tags", count_max=1, chars_max=1) == ()
        assert fields.number("Port", 0, 1) == 0
        assert fields.value("Check") is None
        assert fields.map("Meta", 1) == {}
        assert fields.text("Name", 1) == ""
        assert fields.seconds("Interval") == 0.0


@pytest.mark.parametrize(
    "read",
    [
        lambda fields: fields.text("A", 10),
        lambda fields: fields.flag("A"),
        lambda fields: fields.number("B", 0, 10),
        lambda fields: fields.list("B", 10),
        lambda fields: fields.map("B", 10),
        lambda fields: fields.seconds("C"),
        lambda fields: fields.number("D", 0, 10),
        lambda fields: fields.number("E", 0, 10),
        lambda fields: Fields.of([], "a check"),
        lambda fields: Fields.of("text", "a check"),
        lambda fields: fields.texts("C", count_max=10, chars_max=10),
        lambda fields: fields.list("F", 2),
        lambda fields: fields.texts("F", count_max=10, chars_max=10),
    ],
)
def test_a_value_of_another_kind_or_size_is_refused(read):
    fields = Fields.of({"A": 1, "B": "x", "C": [1], "D": True, "E": 11, "F": [1, 2, 3]}, "the body")
    with pytest.raises(Refused) as caught:
        read(fields)
    assert caught.value.status == 400


@pytest.mark.parametrize("text", ["a\x00b", "line\nbreak", "\ud800", "\x7f", "\x85"])
def test_text_that_cannot_be_shown_is_refused(text: str):
    with pytest.raises(Refused):
        plain_text(text, "Name", 100)


@pytest.mark.parametrize("text", ["ü/ä ?", "日本", "a b", "..", "'; drop", "<b>", "🎬"])
def test_odd_text_is_text(text: str):
    assert plain_text(text, "Name", 100) == text


READS: tuple[Callable[[Fields], Any], ...] = (
    lambda fields: fields.text("A_b", 10),
    lambda fields: fields.number("A_b", 0, 10),
    lambda fields: fields.flag("A_b"),
    lambda fields: fields.seconds("A_b"),
    lambda fields: fields.list("A_b", 3),
    lambda fields: fields.texts("A_b", count_max=3, chars_max=10),
    lambda fields: fields.map("A_b", 3),
    lambda fields: Fields.of(fields.value("A_b"), "A_b"),
)


@examples(200)
@given(st.sampled_from(READS), st.sampled_from(["A_b", "ab", "AB", "a__B"]), json_values, texts)
def test_any_value_is_read_or_refused_with_a_sentence(read: Callable[[Fields], Any], name: str, value: Any, other: str):
    fields = Fields.of({other: 1, name: value}, "the body")
    error = refused(read, fields, by=Refused)
    if error is not None:
        assert error.status == 400
        assert 0 < len(error.detail) < 500


@given(json_values)
def test_a_body_is_an_object_or_refused(value: Any):
    error = refused(Fields.of, value, "the body", by=Refused)
    assert (error is None) == (value is None or isinstance(value, dict))
