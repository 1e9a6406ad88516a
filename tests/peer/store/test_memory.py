"""A large file costs little memory: the same for 256 MB here as for 2 GB in the bench."""

from __future__ import annotations

from pathlib import Path

from tests.bench.blob_memory import measure

MEMORY_BYTES_MAX = 64 * 2**20


def test_256_megabytes_stream_through_in_little_memory(tmp_path: Path):
    result = measure(256 * 2**20, tmp_path / "data")
    assert result["bytes"] == 256 * 2**20
    assert result["written_growth_bytes"] < MEMORY_BYTES_MAX
    assert result["read_growth_bytes"] < MEMORY_BYTES_MAX
