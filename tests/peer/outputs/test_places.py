from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.outputs import places
from peer.outputs.places import check_place, folder_of
from tests.fuzzing import texts


@pytest.mark.parametrize(
    "place", ["/mnt/farm", "~/farm", "file:///mnt/farm", "s3://bucket", "s3://bucket/a/b", "gs://b/x", "az://a/b/x"]
)
def test_folders_and_buckets(place: str):
    check_place(place)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("mnt", "no whole path"),
        ("", "no whole path"),
        ("file://host/mnt", "file:// is no place"),
        ("http://x/y", "http:// is no place"),
        ("memory:///", "memory:// is no place"),
        ("s3:///x", "s3:// is no place"),
        ("s3://key:secret@bucket/x", "keys come from the environment"),
        ("s3://bucket/x?versionId=1", "keys come from the environment"),
        ("s3://[bucket/x", "is no address"),
        (f"s3://bucket/{'x' * 400}", "at most 320"),
    ],
)
def test_what_is_no_place_is_told_with_a_form_that_works(place: str, said: str):
    with pytest.raises(ValueError, match=said) as caught:
        check_place(place)
    assert "secret" not in str(caught.value)


def test_a_store_without_its_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(places, "find_spec", lambda _: None)
    check_place("file:///mnt/farm")
    with pytest.raises(ValueError, match=r"pip install 'rendermesh\[obstore\]'"):
        check_place("s3://bucket")


def test_the_folder_that_a_text_means():
    assert folder_of("/mnt/farm") == Path("/mnt/farm")
    assert folder_of("~/farm") == Path.home() / "farm"
    assert folder_of("file:///mnt/my%20farm") == Path("/mnt/my farm")
    assert folder_of("s3://bucket/x") is None


@given(
    st.tuples(st.sampled_from(["", "/", "~", "file:///", "s3://", "s3://b/", "az://", "http://", "s3://u:p@"]), texts).map(
        "".join
    )
)
def test_any_text_is_a_place_or_refused(text: str):
    try:
        check_place(text)
    except ValueError:
        return
    folder = folder_of(text)
    assert folder is None or folder.is_absolute()
