"""A large scene is never in memory: neither where it arrives nor where a copy is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import scene_memory

GROWTH_BYTES_MAX = 64 * 2**20


@pytest.mark.slow
async def test_a_scene_of_half_a_gigabyte_costs_no_peer_more_than_64_mebibytes(mesh):
    """`python -m tests.bench.scene_memory 2147483648` prints the same for 2 GiB."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of another process is read from /proc")
    scene = mesh.folder / "large.blend"
    scene_memory.write_large(scene, 512 * 2**20)
    measured = await scene_memory.measure(mesh, scene)
    print(measured)
    assert max(measured["growth_bytes"].values()) <= GROWTH_BYTES_MAX, measured
