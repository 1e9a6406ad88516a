"""Names that are confined, manifests whose digest does not depend on order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import Invalid
from protocol.ids import Digest
from protocol.jobs.manifest import EMPTY, Manifest, ManifestEntry, check_side_by_side, clean_name, make_manifest


def entry(name: str, digit: str = "0", size: int = 1) -> ManifestEntry:
    return ManifestEntry(name, Digest(digit * 64), size)


def refused(call: Callable[..., object], *args: object) -> str:
    with pytest.raises(Invalid) as caught:
        call(*args)
    return f"{caught.value.code}: {caught.value.message}"


def test_the_order_of_the_files_does_not_matter():
    one = make_manifest("a.blend", [entry("a.blend"), entry("tex/b.png", "1")])
    two = make_manifest("a.blend", [entry("tex/b.png", "1"), entry("a.blend")])
    assert one == two
    assert Manifest("a.blend", tuple(reversed(one.files))).digest() == one.digest()


@pytest.mark.parametrize(
    "other",
    [
        make_manifest("b.blend", [entry("a.blend"), entry("b.blend")]),
        make_manifest("a.blend", [entry("a.blend", "1"), entry("b.blend")]),
        make_manifest("a.blend", [entry("a.blend", size=2), entry("b.blend")]),
        make_manifest("a.blend", [entry("a.blend")]),
        EMPTY,
    ],
)
def test_every_difference_changes_the_digest(other: Manifest):
    assert make_manifest("a.blend", [entry("a.blend"), entry("b.blend")]).digest() != other.digest()


def test_its_size_is_that_of_all_files():
    assert make_manifest("a", [entry("a", size=5), entry("b", size=7)]).size == 12


def test_a_manifest_that_contradicts_itself_is_refused(monkeypatch: pytest.MonkeyPatch):
    assert refused(make_manifest, "a", [entry("a"), entry("a", "1")]).startswith("bad_manifest: the file name 'a' was sent twice")
    assert refused(make_manifest, "x", [entry("a")]).startswith("bad_manifest: the main scene 'x'")
    monkeypatch.setattr(limits, "FILES_PER_MANIFEST_MAX", 1)
    assert refused(make_manifest, "a", [entry("a"), entry("b")]).startswith("bad_manifest: 2 files")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a.blend", "a.blend"),
        ("tex//b.png", "tex/b.png"),
        ("tex\\b.png", "tex/b.png"),
        ("./a", "a"),
        ("tex/./b", "tex/b"),
        ("é/ü", "é/ü"),
    ],
)
def test_names_are_normalised(text: str, name: str):
    assert clean_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "/",
        "/etc/passwd",
        "../a",
        "a/../../b",
        "a/..",
        "..\\a",
        "C:\\a",
        "C:/a",
        "\\\\host\\share",
        "a\x00b",
        "a\nb",
        "x" * 1_025,
    ],
)
def test_names_that_leave_the_folder_are_refused(text: str):
    assert refused(clean_name, text).startswith("bad_file_name")


@given(st.text(max_size=60))
def test_a_name_is_confined_or_refused(text: str):
    try:
        name = clean_name(text)
    except Invalid:
        return
    assert clean_name(name) == name
    assert name
    assert not name.startswith("/")
    assert ".." not in name.split("/")


def test_files_of_too_many_bytes_together_are_refused():
    half = limits.SCENE_BYTES_MAX // 2 + 1
    with pytest.raises(Invalid, match="bytes together"):
        make_manifest("a", [entry("a", size=half), entry("b", size=half)])


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b/a", "b/c"], ["a b", "a/b"], ["a!", "a/b", "a.b"], ["ss", "s"]])
def test_names_that_lie_side_by_side_anywhere(names: list[str]):
    check_side_by_side(names)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a", "b", "a"], "'a' occurs twice"),
        (["a/B", "A/b"], "one and the same on some systems"),
        (["\u00e9", "e\u0301"], "one and the same"),
        (["Stra\u00dfe", "STRASSE"], "one and the same"),
        (["a", "a!", "a/b"], "'a' is a file, and a folder in 'a/b'"),
        (["x/y/z/w", "X/Y"], "'X/Y' is a file, and a folder"),
    ],
)
def test_names_that_some_systems_cannot_hold_side_by_side_are_refused(names: list[str], says: str):
    for order in (names, names[::-1]):
        assert says in refused(check_side_by_side, order)
