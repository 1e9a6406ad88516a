from pathlib import Path

import pytest
from blake3 import blake3

from peer.store.reading import Source


def test_a_file_is_read_on_from_where_it_was_left_and_stamped_as_used(tmp_path: Path):
    path = tmp_path / "blob"
    path.write_bytes(b"0123456789")
    before = path.stat()
    source = Source(path, 3, hashes=False)
    assert (source.read(4), source.read(4), source.read(4)) == (b"3456", b"789", b"")
    source.close()
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_atime_ns >= before.st_atime_ns


def test_what_was_read_is_hashed_where_somebody_wants_to_know(tmp_path: Path):
    path = tmp_path / "blob"
    path.write_bytes(b"0123456789")
    source, other = Source(path, 0, hashes=True), Source(path, 0, hashes=False)
    assert source.read(4) + source.read(9) == other.read(10) == b"0123456789"
    assert (source.digest, other.digest) == (blake3(b"0123456789").hexdigest(), None)
    source.close()
    other.close()


def test_a_file_that_is_gone_is_noticed_at_the_first_read(tmp_path: Path):
    source = Source(tmp_path / "nowhere", 0, hashes=True)
    with pytest.raises(FileNotFoundError):
        source.read(1)
    source.close()
