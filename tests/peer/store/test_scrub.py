"""What rots is found by walking, dropped, and told; what is whole is left as it is."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path

import pytest

from peer.store.blobs import BlobOptions
from peer.store.folder import Store, open_store
from peer.store.scrub import Scrubber, ScrubOptions
from protocol import limits
from protocol.ids import Digest
from tests.waiting import wait_until


async def add(store: Store, data: bytes) -> Digest:
    writer = await store.blobs.writer()
    await writer.write(data)
    return (await writer.finish())[0]


def flip(data_dir: Path, digest: Digest) -> None:
    path = data_dir / "blobs" / digest[:2] / digest
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.chmod(0o600)
    path.write_bytes(data)


async def no_sleep(_seconds: float) -> None:
    await asyncio.sleep(0)


async def test_a_flipped_bit_is_found_dropped_and_told(store: Store, data_dir: Path):
    lost: list[Digest] = []
    store.blobs.on_lost = lost.append
    whole, damaged, gone, kept = [await add(store, text * 1000) for text in (b"whole", b"damaged", b"gone", b"kept")]
    awaited = Digest("ab" * 32)
    await store.blobs.pin("job", [damaged, kept, awaited])
    flip(data_dir, damaged)
    for digest in (gone, kept):
        (data_dir / "blobs" / digest[:2] / digest).unlink()
    scrubber = Scrubber(store.blobs, sleep=no_sleep)
    await scrubber.walk()
    assert (scrubber.rounds, scrubber.found, sorted(lost)) == (1, 1, sorted([damaged, gone, kept]))
    assert [await store.blobs.has(digest) for digest in (whole, damaged, gone)] == [True, False, False]
    assert await add(store, b"damaged" * 1000) == damaged  # comes back, still pinned
    await scrubber.walk()
    assert (scrubber.found, len(lost)) == (1, 3), "what is lost is told once, what never came is not lost"


async def test_a_folder_of_blobs_that_is_gone_takes_only_its_blobs_along(store: Store, data_dir: Path):
    lost: list[Digest] = []
    store.blobs.on_lost = lost.append
    gone, damaged = await add(store, b"gone"), await add(store, b"damaged")
    await store.blobs.pin("job", [gone, damaged])
    assert gone[:2] != damaged[:2]
    shutil.rmtree(data_dir / "blobs" / gone[:2])
    flip(data_dir, damaged)
    await Scrubber(store.blobs, sleep=no_sleep).walk()
    assert sorted(lost) == sorted([gone, damaged])


async def test_it_reads_no_faster_than_told(store: Store):
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await add(store, bytes(3 * limits.HASH_PIECE_BYTES + 10))
    await Scrubber(store.blobs, ScrubOptions(bytes_per_s=limits.HASH_PIECE_BYTES), sleep=sleep).walk()
    assert slept == [1.0, 1.0, 1.0, pytest.approx(10 / limits.HASH_PIECE_BYTES)]


async def test_it_walks_again_and_again_and_is_no_use_of_a_blob(store: Store):
    first, second = await add(store, b"first"), await add(store, b"second")
    scrubber = Scrubber(store.blobs, sleep=no_sleep)
    task = asyncio.create_task(scrubber.run())
    await wait_until(lambda: scrubber.rounds >= 3)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert store.blobs._index.digests() == [first, second]


async def test_a_start_with_a_smaller_cache_evicts_to_it(data_dir: Path):
    store = open_store(data_dir)
    for number in range(5):
        await add(store, bytes([number]) * 1000)
    await store.close()
    store = open_store(data_dir, BlobOptions(cache_bytes_max=2_500, grace_s=0.0))
    task = asyncio.create_task(Scrubber(store.blobs).run())
    await wait_until(lambda: store.blobs.cached_bytes <= 2_500)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert len([digest async for digest in store.blobs.walk()]) == 2
    await store.close()
