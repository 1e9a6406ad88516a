from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.cli import bounds
from peer.cli.documents import DIGITS_MAX, parse, parse_object, read_bounded
from tests.fuzzing import changed, deep_json, json_values


def is_plain(value: Any) -> bool:
    """Whether every number in it can be shown and counted."""
    match value:
        case list() | dict():
            return all(map(is_plain, value.values() if isinstance(value, dict) else value))
        case bool():
            return True
        case int():
            return len(str(value)) <= DIGITS_MAX
        case float():
            return math.isfinite(value)
        case _:
            return True


@given(json_values)
def test_what_is_json_and_can_be_used_is_read_as_it_is(value: Any) -> None:
    if is_plain(value):
        assert parse(json.dumps(value)) == value
    else:
        with pytest.raises(ValueError, match=r"."):
            parse(json.dumps(value))


@given(json_values.map(json.dumps).map(str.encode).flatmap(changed) | deep_json.map(str.encode) | st.binary(max_size=40))
def test_anything_is_a_value_or_a_value_error(data: bytes) -> None:
    try:
        value = parse(data)
    except ValueError:
        assert parse_object(data) is None
        return
    assert (parse_object(data) is None) is not isinstance(value, dict)


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "9" * 31, "[" * 100_000, "", "{", '{"a": Infinity}'])
def test_what_python_would_take_and_nobody_can_use_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_a_file_is_read_up_to_a_size(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("größe")
    assert read_bounded(path) == "größe"
    path.write_bytes(bytes(bounds.SMALL_FILE_BYTES_MAX + 1))
    with pytest.raises(ValueError, match="more than"):
        read_bounded(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="utf-8"):
        read_bounded(path)
