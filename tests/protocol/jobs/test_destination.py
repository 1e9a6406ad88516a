from __future__ import annotations

import pytest

from protocol.errors import Invalid
from protocol.jobs.destination import Destination, parse_destination


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("farm:shots/010", Destination("farm", "shots/010")),
        ("farm:", Destination("farm", "")),
        ("a.b-c_1:x", Destination("a.b-c_1", "x")),
        ("farm:a\\b", Destination("farm", "a/b")),
    ],
)
def test_what_is_read(text: str, expected: Destination):
    assert parse_destination(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "farm",
        ":x",
        "/mnt/farm",
        "farm:/etc",
        "farm:../x",
        "farm:a/../../b",
        "far m:x",
        "farm:a\nb",
        "C:\\out",
        "s3://bucket/x",
    ],
)
def test_what_is_refused_with_a_form_that_works(text: str):
    with pytest.raises(Invalid, match="farm:shots/010") as caught:
        parse_destination(text)
    assert caught.value.code == "bad_destination"
