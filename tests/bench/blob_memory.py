"""How much memory a large file costs on its way into the store and out again.

`python -m tests.bench.blob_memory BYTES FOLDER` streams BYTES through a writer and a reader in FOLDER and prints one JSON
line with the growth of the peak resident set. Run in a process of its own: a peak never comes down.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from pathlib import Path

from peer.store.folder import open_store
from protocol import limits


def measure(total_bytes: int, folder: Path, *, timeout_s: float = 600.0) -> dict[str, int]:
    """Run this module in a child: `bytes`, `written_growth_bytes` and `read_growth_bytes` of its peak resident set."""
    command = [sys.executable, "-m", "tests.bench.blob_memory", str(total_bytes), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout_s)
    result: dict[str, int] = json.loads(done.stdout)
    return result


async def stream(total_bytes: int, folder: Path) -> dict[str, int]:
    """In this process: see `measure`."""
    store = open_store(folder)
    before = _peak_bytes()
    writer = await store.blobs.writer(size=total_bytes)
    while writer.offset < total_bytes:
        length = min(limits.BLOB_CHUNK_BYTES, total_bytes - writer.offset)
        await writer.write(writer.offset.to_bytes(8, "big") * (length // 8) + bytes(length % 8))
    digest, size = await writer.finish()
    written = _peak_bytes()
    read = 0
    async for piece in store.blobs.read(digest):
        read += len(piece)
    assert read == size == total_bytes
    await store.blobs.check(digest)
    result = {"bytes": size, "written_growth_bytes": written - before, "read_growth_bytes": _peak_bytes() - before}
    await store.close()
    return result


def _peak_bytes() -> int:
    """Linux counts in KiB, macOS in bytes (getrusage(2))."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    print(json.dumps(asyncio.run(stream(int(sys.argv[1]), Path(sys.argv[2])))))
