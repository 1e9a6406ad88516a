"""One transfer: hashing on the way, and what stays behind when it ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peer.ports import Corrupt
from peer.store.incoming import Incoming, hash_file
from protocol import limits
from protocol.errors import Invalid
from protocol.ids import Digest
from tests.contract.blobs_suite import LARGE, digest_of


def begin(path: Path, *, expected: Digest | None = None, size: int | None = None) -> Incoming:
    return Incoming(path, expected=expected, size=size, reserve_bytes=0)


def test_a_sealed_file_is_read_only_and_whole(tmp_path: Path):
    incoming = begin(tmp_path / "in")
    assert incoming.write(LARGE[:1000])
    assert incoming.write(LARGE[1000:])
    assert incoming.seal() == (digest_of(LARGE), len(LARGE))
    assert (tmp_path / "in").stat().st_mode & 0o777 == 0o444
    assert hash_file(tmp_path / "in") == (digest_of(LARGE), len(LARGE))


def test_resuming_hashes_what_is_there(tmp_path: Path):
    (tmp_path / "in").write_bytes(LARGE[:-5])
    incoming = begin(tmp_path / "in", expected=digest_of(LARGE))
    assert incoming.offset == len(LARGE) - 5
    incoming.write(LARGE[-5:])
    assert incoming.seal() == (digest_of(LARGE), len(LARGE))


def test_a_leftover_that_shares_its_bytes_with_a_blob_is_not_written_to(tmp_path: Path):
    (tmp_path / "blob").write_bytes(b"precious")
    os.link(tmp_path / "blob", tmp_path / "in")
    incoming = begin(tmp_path / "in")
    assert incoming.offset == 0
    incoming.write(b"other")
    incoming.stop(keep=True)
    assert (tmp_path / "blob").read_bytes() == b"precious"


@pytest.mark.parametrize("keep", [True, False])
def test_stopping_keeps_or_drops(tmp_path: Path, keep: bool):
    incoming = begin(tmp_path / "in")
    incoming.write(b"some")
    incoming.stop(keep=keep)
    assert (tmp_path / "in").exists() is keep
    with pytest.raises(ValueError, match="ended"):
        incoming.write(b"more")
    with pytest.raises(ValueError, match="ended"):
        incoming.seal()


def test_a_short_disk_is_said_before_a_byte_is_written(tmp_path: Path):
    incoming = Incoming(tmp_path / "in", expected=None, size=None, reserve_bytes=2**60)
    assert not incoming.write(b"x")
    assert incoming.offset == 0
    incoming.stop(keep=False)


def test_the_wrong_bytes_are_dropped(tmp_path: Path):
    incoming = begin(tmp_path / "in", expected=digest_of(b"right"))
    incoming.write(b"wrong")
    with pytest.raises(Corrupt, match=digest_of(b"right")):
        incoming.seal()
    assert not (tmp_path / "in").exists()


def test_a_transfer_without_an_end_meets_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "SCENE_BYTES_MAX", 1000)
    incoming = begin(tmp_path / "in")
    with pytest.raises(Invalid) as caught:
        incoming.write(bytes(1001))
    assert caught.value.code == "blob_too_large"
    assert not (tmp_path / "in").exists()
