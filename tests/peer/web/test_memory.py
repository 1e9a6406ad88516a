"""Scenes and frames pass through, they are never held: measured in a process of its own, over the real store."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.peer.web.conftest import multipart

SIZE = 256 * 2**20
PIECE = bytes(range(256)) * 4_096
MOST = 64 * 2**20


async def scene() -> AsyncIterator[bytes]:
    for _ in range(SIZE // len(PIECE)):
        yield PIECE


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_256_mib_up_and_down_cost_at_most_64_mib(tmp_path: Path):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.peer.web.upload_child",
        str(tmp_path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port, before = (int(text) for text in (await process.stdout.readline()).split())
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            form = multipart(("frames", "1"))
            form.add_field("scene", scene(), filename="a.blend")
            async with session.post("/api/v1/jobs", data=form) as response:
                assert response.status == 202, await response.text()
                job = (await response.json())["id"]
            for path in ("frames/1", "archive"):
                async with session.get(f"/api/v1/jobs/{job}/{path}") as response:
                    assert response.status == 200
                    got = 0
                    async for piece in response.content.iter_any():
                        got += len(piece)
                    assert got >= SIZE
        process.stdin.write(b"\n")
        after = int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()
    print(f"{SIZE >> 20} MiB up and down cost {(after - before) / 2**20:.1f} MiB")
    assert after - before < MOST
