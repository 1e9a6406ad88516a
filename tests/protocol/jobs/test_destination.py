from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Invalid
from protocol.jobs.destination import Destination, advertised, parse_destination, serving
from tests.fuzzing import refused, texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("farm:shots/010", Destination("farm", "shots/010")),
        ("farm:", Destination("farm", "")),
        ("a.b-c_1:x", Destination("a.b-c_1", "x")),
        ("farm:a\\b", Destination("farm", "a/b")),
        ("s3://bucket", Destination("s3://bucket", "")),
        ("s3://bucket/", Destination("s3://bucket", "")),
        ("s3://bucket/shots/010/", Destination("s3://bucket", "shots/010")),
        ("az://box/a b", Destination("az://box", "a b")),
        ("gs://a.b-c_1/x", Destination("gs://a.b-c_1", "x")),
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
        "http://host/x",
        "s3://",
        "s3:///x",
        "s3://key:secret@bucket/x",
        "s3://bucket/../x",
        "s3://bucket/a//../../b",
        "s3://bucket/x?versionId=1",
        "s3://bucket/x#y",
    ],
)
def test_what_is_refused_with_a_form_that_works(text: str):
    with pytest.raises(Invalid, match="farm:shots/010") as caught:
        parse_destination(text)
    assert caught.value.code == "bad_destination"


def test_a_peer_says_its_roots_names_and_the_addresses_of_stores():
    assert advertised([("farm", "/mnt/farm"), ("cloud", "s3://bucket/a/"), ("file", "file:///x")]) == (
        "cloud", "farm", "file", "s3://bucket/a",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("root", "folder", "expected"),
    [
        ("farm", "x", ("farm", "x")),
        ("other", "x", None),
        ("s3://bucket", "a/b/c", ("s3://bucket/a/b", "c")),
        ("s3://bucket", "a/b", ("s3://bucket/a/b", "")),
        ("s3://bucket", "a/bc", ("s3://bucket/a", "bc")),
        ("s3://bucket", "b", None),
        ("s3://bucket", "", None),
        ("s3://bucket2", "a", None),
        ("gs://bucket", "a", None),
    ],
)
def test_the_nearest_root_that_holds_a_destination_serves_it(root: str, folder: str, expected: tuple[str, str] | None):
    assert serving(("farm", "s3://bucket/a", "s3://bucket/a/b"), root, folder) == expected


@given(texts | st.builds("{}{}".format, st.sampled_from(["farm:", "s3://", "s3://b/", "az://b/", "x://"]), texts))
def test_any_text_is_a_confined_folder_or_refused(text: str):
    error = refused(parse_destination, text, by=Invalid)
    if error is not None:
        assert error.code == "bad_destination"
        return
    found = parse_destination(text)
    parts = found.folder.split("/")
    assert not found.folder.startswith("/")
    assert ".." not in parts
    assert min(map(ord, found.folder), default=32) >= 32
    again = f"{found.root}/{found.folder}" if "://" in found.root else f"{found.root}:{found.folder}"
    assert parse_destination(again) == found
