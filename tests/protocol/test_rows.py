from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed
from protocol.rows import Reader, bad, pack, unpack_list

READS = ("text", "optional_text", "integer", "optional_integer", "number", "optional_number", "flag", "texts")
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(), lambda inner: st.lists(inner), max_leaves=6
)


@given(st.lists(st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary()))
def test_lists_come_back(row: list[Any]):
    assert unpack_list(pack(row)) == row


@given(st.binary(max_size=200))
def test_bytes_that_are_no_list_are_malformed_and_nothing_else(data: bytes):
    with contextlib.suppress(Malformed):
        assert isinstance(unpack_list(data), list)


@given(st.lists(JUNK, max_size=4), st.sampled_from(READS))
def test_a_reader_raises_nothing_but_malformed(row: list[Any], read: str):
    reader = Reader(row)
    with contextlib.suppress(Malformed):
        getattr(reader, read)()


def test_values_are_checked():
    reader = Reader(["a", None, 3, None, 1.5, None, True, ["x"], "two"])
    assert reader.text() == "a"
    assert reader.optional_text() is None
    assert reader.integer() == 3
    assert reader.optional_integer() is None
    assert reader.number() == 1.5
    assert reader.optional_number() is None
    assert reader.flag() is True
    assert reader.texts() == ("x",)
    assert reader.more
    assert reader.choice(("one", "two")) == "two"
    assert not reader.more


@pytest.mark.parametrize(
    ("row", "read", "limits"),
    [
        (["aa"], "text", (1,)), ([1], "text", ()), ([True], "integer", ()), ([-1], "integer", ()), ([5], "integer", (0, 4)),
        ([float("nan")], "number", ()), ([1e19], "number", ()), ([False], "number", ()), ([1], "flag", ()),
        ([["a", "b"]], "texts", (1,)), ([["aa"]], "texts", (9, 1)), ([[1]], "texts", ()), ([], "text", ()),
        ([True], "choice", ((1, 2),)), (["x"], "choice", (("y",),)),
    ],
)  # fmt: skip
def test_values_beyond_their_limits_are_malformed(row: list[Any], read: str, limits: tuple[Any, ...]):
    with pytest.raises(Malformed):
        getattr(Reader(row), read)(*limits)


def test_more_than_was_allowed_is_not_even_unpacked():
    with pytest.raises(Malformed, match="allowed"):
        unpack_list(pack([bytes(100)]), bytes_max=50)
    with pytest.raises(Malformed):
        Reader({"a": 1})
    with pytest.raises(Malformed, match="why"):
        bad("why")
