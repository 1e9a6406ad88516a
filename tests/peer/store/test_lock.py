"""The lock in one process; across processes it is tested with the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peer.store.errors import FolderTaken, FolderUnwritable
from peer.store.lock import FolderLock


def test_one_holder_at_a_time_and_its_id_is_written(tmp_path: Path):
    lock = FolderLock(tmp_path / "lock")
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    with pytest.raises(FolderTaken) as caught:
        FolderLock(tmp_path / "lock")
    assert caught.value.pid == os.getpid()
    lock.release()
    lock.release()
    FolderLock(tmp_path / "lock").release()


def test_a_holder_that_left_no_id_is_another_process(tmp_path: Path):
    lock = FolderLock(tmp_path / "lock")
    (tmp_path / "lock").write_text("")
    with pytest.raises(FolderTaken, match="another process") as caught:
        FolderLock(tmp_path / "lock")
    assert caught.value.pid is None
    lock.release()


def test_a_place_that_cannot_be_written(tmp_path: Path):
    with pytest.raises(FolderUnwritable):
        FolderLock(tmp_path / "nowhere" / "lock")
