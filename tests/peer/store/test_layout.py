"""What counts as a blob on the disk."""

from __future__ import annotations

import os
from pathlib import Path

from peer.store.layout import SHARDS, BlobFolders
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
    found = [one for number in range(SHARDS) for one in folders.scan(number)]
    assert sorted(found) == [(1000 - age, digests[age], age) for age in (3, 2, 1, 0)]
    assert folders.sizes([digests[2], digest_of(b"nowhere"), digests[3]]) == {digests[2]: 2, digests[3]: 3}
