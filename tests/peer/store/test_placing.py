import os
import stat
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


@pytest.mark.parametrize(("number", "error"), [(28, StoreFull), (5, StoreBroken)])
def test_a_disk_that_is_full_or_fails_is_named(
    number: int, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error):
        write_small([(tmp_path / "a", b"a")])
