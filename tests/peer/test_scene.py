"""The default scene: the file as it is now, held in the store, and a clear error when it is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peer.scene import PIN, DefaultScene
from protocol.errors import Invalid
from tests.fakes.memory_store import MemoryBlobs, digest_of


@pytest.fixture
def blobs(tmp_path: Path) -> MemoryBlobs:
    return MemoryBlobs(tmp_path / "store")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shot.blend"
    path.write_bytes(b"first")
    return path


def anything(_path: Path) -> None:
    """Every file is a scene."""


async def test_without_a_default_scene_there_is_none(blobs: MemoryBlobs):
    assert await DefaultScene(None, blobs, anything).manifest() is None


async def test_the_file_is_taken_in_and_pinned(blobs: MemoryBlobs, file: Path):
    manifest = await DefaultScene(file, blobs, anything).manifest()
    assert manifest is not None
    [entry] = manifest.files
    assert (manifest.main, entry.name, entry.digest, entry.size) == ("shot.blend", "shot.blend", digest_of(b"first"), 5)
    assert blobs.pins == {PIN: {entry.digest}}


async def test_it_is_read_again_only_when_it_has_changed(blobs: MemoryBlobs, file: Path):
    looked: list[Path] = []
    scene = DefaultScene(file, blobs, looked.append)
    first = await scene.manifest()
    assert await scene.manifest() is first
    assert looked == [file]
    file.write_bytes(b"later")  # as long as before: its time tells
    os.utime(file, ns=(1, 1))
    second = await scene.manifest()
    assert second is not None
    assert second.files[0].digest == digest_of(b"later")
    assert blobs.pins == {PIN: {digest_of(b"later")}}


async def test_a_file_that_is_gone_is_said_so_and_found_again_when_it_is_back(blobs: MemoryBlobs, file: Path):
    scene = DefaultScene(file, blobs, anything)
    file.unlink()
    with pytest.raises(Invalid, match=r"shot\.blend cannot be read: No such file") as refused:
        await scene.manifest()
    assert refused.value.code == "no_default_scene"
    file.write_bytes(b"first")
    assert await scene.manifest() is not None


async def test_a_folder_is_no_scene(blobs: MemoryBlobs, tmp_path: Path):
    with pytest.raises(Invalid) as refused:
        await DefaultScene(tmp_path, blobs, anything).manifest()
    assert refused.value.code == "no_default_scene"


async def test_a_file_that_is_no_scene_is_refused_before_it_is_stored(blobs: MemoryBlobs, file: Path):
    def check(_path: Path) -> None:
        raise Invalid("not_a_scene", "not a .blend")

    with pytest.raises(Invalid, match=r"not a \.blend"):
        await DefaultScene(file, blobs, check).manifest()
    assert blobs.blobs == {}


async def test_a_full_store_leaves_what_was_there(blobs: MemoryBlobs, file: Path):
    scene = DefaultScene(file, blobs, anything)
    first = await scene.manifest()
    assert first is not None
    file.write_bytes(b"much longer than before")
    blobs.bytes_max = 5
    with pytest.raises(Exception, match="full"):
        await scene.manifest()
    assert blobs.pins == {PIN: {first.files[0].digest}}
