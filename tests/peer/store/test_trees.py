"""Laying scenes out and taking them away; names and sharing stand in tests/contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from peer.ports import StoreFull
from peer.store import trees as module
from peer.store.trees import Trees
from protocol.errors import Invalid
from protocol.ids import Digest
from protocol.jobs.manifest import Manifest, make_manifest
from tests.contract.blobs_suite import digest_of, entry


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    for name in ("trees", "tmp", "blobs"):
        (tmp_path / name).mkdir()
    for data in (b"a", b"b"):
        (tmp_path / "blobs" / digest_of(data)).write_bytes(data)
    return Trees(tmp_path / "trees", scratch=tmp_path / "tmp")


SCENE = make_manifest("x/s.blend", [entry("x/s.blend", b"a"), entry("x/y/z/t.png", b"b"), entry("u.png", b"b")])


def test_a_tree_comes_and_goes_whole(trees: Trees, tmp_path: Path):
    folder = trees.build(SCENE, lambda digest: tmp_path / "blobs" / digest)
    assert trees.find(SCENE.digest()) == folder == tmp_path / "trees" / SCENE.digest()
    assert trees.holding(digest_of(b"b")) == [SCENE.digest()]
    assert all(path.stat().st_mode & 0o222 == 0 for path in [folder, *folder.rglob("*")] if path.is_dir())
    trees.drop([SCENE.digest(), Digest("never")])
    assert trees.find(SCENE.digest()) is None
    assert trees.holding(digest_of(b"b")) == []
    assert list((tmp_path / "trees").iterdir()) == list((tmp_path / "tmp").iterdir()) == []
    assert (tmp_path / "blobs" / digest_of(b"a")).read_bytes() == b"a"


@pytest.mark.parametrize("name", ["n" * 300, "d/" + "n" * 300])
def test_a_name_that_the_disk_cannot_hold_is_the_scenes_fault(trees: Trees, tmp_path: Path, name: str):
    with pytest.raises(Invalid) as caught:
        trees.build(Manifest(name, (entry(name, b"a"),)), lambda digest: tmp_path / "blobs" / digest)
    assert caught.value.code == "bad_manifest"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_full_disk_leaves_no_half_tree(trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    links = []

    def full_at_the_second(blob: Path, name: Path) -> None:
        links.append(name)
        if len(links) == 2:
            raise OSError(28, "No space left on device")
        name.hardlink_to(blob)

    monkeypatch.setattr(module, "link_into_tree", full_at_the_second)
    with pytest.raises(StoreFull):
        trees.build(SCENE, lambda digest: tmp_path / "blobs" / digest)
    assert list((tmp_path / "trees").iterdir()) == list((tmp_path / "tmp").iterdir()) == []
    assert trees.find(SCENE.digest()) is None
