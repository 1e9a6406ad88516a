"""What counts as a blob on the disk."""

from __future__ import annotations

import os
from pathlib import Path

from peer.store.layout import BlobFolders
from tests.contract.blobs_suite import digest_of


def test_only_files_under_their_own_digest_count_in_the_order_of_use(tmp_path: Path):
    folders = BlobFolders(blobs=tmp_path / "blobs", trees=tmp_path / "trees", scratch=tmp_path / "tmp")
    for shard in folders.shards():
        shard.mkdir(parents=True)
    digests = [digest_of(bytes([number])) for number in range(4)]
    for age, digest in enumerate(digests):
        folders.path(digest).write_bytes(bytes(age))
        os.utime(folders.path(digest), ns=(1000 - age, 0))
    shard = folders.path(digests[0]).parent
    (shard / "note.txt").write_text("not a blob")
    (shard / ("f" * 64 if shard.name != "ff" else "0" * 64)).write_text("in the wrong shard")
    (shard / (shard.name + "0" * 62)).mkdir()
    assert folders.scan() == [(digest, digests.index(digest)) for digest in reversed(digests)]
