from __future__ import annotations

from pathlib import Path

import pytest

from peer.outputs.folder import FolderRoot
from peer.outputs.opening import open_roots
from peer.outputs.store import StoreRoot
from protocol.errors import Invalid
from tests.fakes.memory_store import MemoryBlobs
from tests.peer.outputs.bench import Texts


def test_each_text_becomes_the_root_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    places = {"a": str(tmp_path), "b": tmp_path.as_uri(), "c": "s3://bucket/folder"}
    roots = open_roots(places, MemoryBlobs(tmp_path), Texts(), tmp_path / "work")
    assert {name: type(root) for name, root in roots.items()} == {
        "a": FolderRoot, "b": FolderRoot, "c": StoreRoot, "s3://bucket/folder": StoreRoot,
    }  # fmt: skip
    assert roots["s3://bucket/folder"] is roots["c"]
    assert not (tmp_path / "work").exists(), "nothing is looked at yet"


def test_a_store_that_cannot_be_set_up_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "nothing.json"))
    with pytest.raises(Invalid, match="gs://bucket"):
        open_roots({"a": "gs://bucket"}, MemoryBlobs(tmp_path), Texts(), tmp_path)
