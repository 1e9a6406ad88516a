from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.web.content import wanted
from peer.web.problems import Refused
from tests.fuzzing import examples, refused, texts


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("items=0-1", None),
        ("bytes=5-2", None),
        ("bytes=a-b", None),
        ("bytes=0-1,3-4", None),
        ("bytes=0-0", (0, 1)),
        ("bytes=2-", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=4-999", (4, 10)),
        ("bytes=٠-١", None),
        ("bytes=0-" + "9" * 30, None),
    ],
)
def test_ranges(header: str | None, expected: tuple[int, int] | None):
    assert wanted(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=999999-"])
def test_ranges_after_the_end(header: str):
    with pytest.raises(Refused) as caught:
        wanted(header, 10)
    assert caught.value.status == 416
    assert caught.value.headers["Content-Range"] == "bytes */10"


def test_an_empty_file_has_no_range():
    with pytest.raises(Refused):
        wanted("bytes=0-", 0)


@given(st.integers(1, 10**12), st.data())
def test_a_range_inside_is_what_was_asked_for(size: int, data: st.DataObject):
    start = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(start + 1, size))
    assert wanted(f"bytes={start}-{end - 1}", size) == (start, end)
    assert wanted(f"bytes=-{size - start}", size) == wanted(f"bytes={start}-", size) == (start, size)


@examples(200)
@given(
    st.text("bytes=0123456789-, ", max_size=16) | st.tuples(texts, texts).map("bytes={0[0]}-{0[1]}".format) | texts,
    st.integers(0, 20),
)
def test_any_header_is_a_range_inside_everything_or_416(header: str, size: int):
    error = refused(wanted, header, size, by=Refused)
    if error is not None:
        assert error.status == 416
        return
    asked = wanted(header, size)
    assert asked is None or 0 <= asked[0] < asked[1] <= size
