from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from peer.ports import RenderFailed
from peer.render.handover import hand_over

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows opens no file relative to a folder")


@pytest.fixture
def outbox(tmp_path) -> Path:
    """What a renderer has left: two files that it reports, and one that it does not."""
    folder = tmp_path / "scratch" / "out"
    (folder / "Node").mkdir(parents=True)
    for name in ("main.png", "Node/a.png", "junk"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    made: Path = tmp_path / "attempt"
    made.mkdir()
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def failing(outbox: Path, folder: Path, *wanted: str) -> str:
    with pytest.raises(RenderFailed, match="cannot be taken over") as caught:
        hand_over(outbox, folder, wanted, "said before")
    assert caught.value.log == "said before"
    return caught.value.failure.kind


def test_what_was_reported_is_moved_and_the_rest_goes(outbox, folder):
    hand_over(outbox, folder, ["main.png", "Node/a.png", "never.png"], "")
    assert names(folder) == ["Node/a.png", "main.png"]
    assert (folder / "Node" / "a.png").read_text() == "Node/a.png"
    assert not outbox.exists()


def test_who_holds_the_folder_open_cannot_change_a_name_afterwards(outbox, folder, tmp_path):
    """A bind mount does not end what was opened through it: so a hostile scene could put a link where its picture was."""
    (tmp_path / "identity.key").write_text("secret")
    held = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (outbox, outbox / "Node")]
    hand_over(outbox, folder, ["main.png", "Node/a.png"], "")
    for place, name in zip(held, ("main.png", "a.png"), strict=True):
        with pytest.raises(FileNotFoundError):
            os.unlink(name, dir_fd=place)
        with pytest.raises(FileNotFoundError):
            os.symlink(tmp_path / "identity.key", name, dir_fd=place)
        os.close(place)
    assert (folder / "main.png").read_text() == "main.png"


def test_no_link_is_followed(outbox, folder, tmp_path):
    (tmp_path / "identity.key").write_text("secret")
    (outbox / "away").symlink_to(tmp_path)
    (outbox / "link.png").symlink_to(tmp_path / "identity.key")
    hand_over(outbox, folder, ["link.png"], "")
    assert (folder / "link.png").is_symlink()  # which the verifier refuses
    outbox.mkdir()
    (outbox / "away").symlink_to(tmp_path)
    assert failing(outbox, folder, "away/identity.key") == "renderer"
    assert (tmp_path / "identity.key").read_text() == "secret"


def test_whose_fault_it_is(outbox, folder, tmp_path):
    (folder / "main.png").mkdir()
    assert failing(outbox, folder, "main.png") == "infrastructure"
    (folder / "main.png").rmdir()
    outbox.mkdir()
    moved = tmp_path / "moved"
    outbox.rename(moved)
    assert failing(outbox, folder, "main.png") == "renderer"
    outbox.symlink_to(moved)
    assert failing(outbox, folder, "main.png") == "renderer"
    assert names(folder) == []


def test_a_disk_of_its_own_for_the_renderers_costs_a_copy(folder, tmp_path):
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    with tempfile.TemporaryDirectory(dir=memory) as place:
        outbox = Path(place, "out")
        outbox.mkdir()
        (outbox / "main.png").write_text("picture")
        os.mkfifo(outbox / "pipe.png")
        hand_over(outbox, folder, ["main.png", "pipe.png", "never.png"], "")
        assert not outbox.exists()
    assert names(folder) == ["main.png"]
    assert (folder / "main.png").read_text() == "picture"
