"""Links, their fallbacks, and which error means what."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from peer.ports import StoreBroken, StoreFull
from peer.store.disk import disk_faults, link_into_tree, place_no_replace, remove


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EIO, StoreBroken),
        (errno.EROFS, StoreBroken),
        (errno.EACCES, PermissionError),
    ],
)
def test_what_an_error_means(number: int, kind: type[Exception]):
    with pytest.raises(kind), disk_faults("try"):
        raise OSError(number, os.strerror(number))


def test_placing_never_replaces(tmp_path: Path):
    new, old = tmp_path / "new", tmp_path / "old"
    new.write_text("new")
    assert place_no_replace(new, tmp_path / "fresh")
    old.write_text("old")
    assert not place_no_replace(new, old)
    assert old.read_text() == "old"
    assert new.exists()


@pytest.fixture
def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("without_links")
def test_where_links_are_missing_files_are_renamed_and_never_replaced(tmp_path: Path):
    new, old = tmp_path / "new", tmp_path / "old"
    new.write_text("new")
    old.write_text("old")
    assert not place_no_replace(new, old)
    assert place_no_replace(new, tmp_path / "fresh")
    assert (old.read_text(), (tmp_path / "fresh").read_text(), new.exists()) == ("old", "new", False)


@pytest.mark.usefixtures("without_links")
def test_where_links_are_missing_trees_point_at_the_blobs(tmp_path: Path):
    (tmp_path / "blob").write_text("bytes")
    link_into_tree(tmp_path / "blob", tmp_path / "name")
    assert (tmp_path / "name").is_symlink()
    assert (tmp_path / "name").read_text() == "bytes"


def test_another_file_system_is_said_and_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def cross(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", cross)
    (tmp_path / "a").write_text("a")
    with pytest.raises(OSError, match="cross-device"):
        place_no_replace(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").exists()


def test_removing_takes_read_only_folders_and_leaves_what_links_point_at(tmp_path: Path):
    keep = tmp_path / "keep"
    keep.mkdir()
    (keep / "file").write_text("kept")
    deep = tmp_path / "gone" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "link").symlink_to(keep)
    (deep / "file").write_text("gone")
    for folder in (deep, deep.parent, deep.parent.parent):
        folder.chmod(0o555)
    remove(tmp_path / "gone")
    remove(tmp_path / "never")
    assert not (tmp_path / "gone").exists()
    assert (keep / "file").read_text() == "kept"
