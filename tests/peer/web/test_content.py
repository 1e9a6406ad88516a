from __future__ import annotations

import pytest

from peer.web.content import wanted
from peer.web.problems import Refused


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
