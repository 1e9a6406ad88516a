import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from peer.ports import StoreBroken, StoreFull
from peer.store.placing import place, place_all, write_small
from tests.contract.blobs_suite import digest_of


def test_small_files_are_fsynced_before_they_are_linked_and_their_folder_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    order: list[str] = []
    link, sync = os.link, os.fsync

    def linking(source: Path, target: Path, **more: bool) -> None:
        order.append("link")
        link(source, target, **more)

    def syncing(handle: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "fsync")
        sync(handle)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "link", linking)
    written = write_small([(tmp_path / str(number), b"%d" % number) for number in range(3)])
    (tmp_path / "shard").mkdir()
    place_all(written, tmp_path / "shard")
    assert order == ["fsync"] * 3 + ["link"] * 3 + ["folder"]
    assert sorted(path.name for path in (tmp_path / "shard").iterdir()) == sorted(
        digest_of(b"%d" % number) for number in range(3)
    )


def test_a_damaged_file_gives_way_and_a_whole_one_stays(tmp_path: Path):
    source, target = tmp_path / "new", tmp_path / "blob"
    source.write_bytes(b"whole")
    target.write_bytes(b"who")
    place(source, target, 5)
    assert target.read_bytes() == b"whole"
    inode = target.stat().st_ino
    (tmp_path / "again").write_bytes(b"whole")
    place(tmp_path / "again", target, 5)
    assert target.stat().st_ino == inode


def fail(number: int) -> Callable[..., None]:
    """What a system call does then."""

    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return failing


def test_a_name_that_cannot_be_made_durable_is_taken_away_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What has a file under its name counts as held, so the next one to ask would not bring it again."""
    (tmp_path / "shard").mkdir()
    one, two, old = write_small([(tmp_path / str(number), b"%d" % number) for number in range(3)])
    place_all([old], tmp_path / "shard")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail(errno.ENOSPC))
        with pytest.raises(StoreFull):
            place(one[0], tmp_path / "shard" / one[1], 1)
        with pytest.raises(StoreFull):
            place_all([one, two, old], tmp_path / "shard")
    assert [path.name for path in (tmp_path / "shard").iterdir()] == [old[1]]
    assert place_all([one, two, old], tmp_path / "shard") == [True, True, False]


def test_small_files_get_their_names_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "shard").mkdir()
    one, two = write_small([(tmp_path / str(number), b"%d" % number) for number in range(2)])
    link = os.link

    def full(source: Path, target: Path, **more: bool) -> None:
        (fail(errno.ENOSPC) if source == two[0] else link)(source, target, **more)

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(StoreFull):
        place_all([one, two], tmp_path / "shard")
    assert list((tmp_path / "shard").iterdir()) == []


@pytest.mark.parametrize(("number", "error"), [(28, StoreFull), (5, StoreBroken)])
def test_a_disk_that_is_full_or_fails_is_named(
    number: int, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "fsync", fail(number))
    with pytest.raises(error):
        write_small([(tmp_path / "a", b"a")])
