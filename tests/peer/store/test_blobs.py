"""What is particular to blobs on a disk: eviction, pins, space, damage. The promises stand in tests/contract."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from peer.ports import BlobWriter, Corrupt, StoreFull
from peer.store.blobs import BlobOptions
from peer.store.folder import Store, open_store
from peer.store.stock import Stock
from protocol import limits
from protocol.errors import Invalid, NotFound
from protocol.ids import Digest
from protocol.jobs.manifest import make_manifest
from tests.contract.blobs_suite import LARGE, digest_of, entry, got, put
from tests.peer.store.disks import fill
from tests.waiting import wait_until

KB = 1024
TIGHT = BlobOptions(cache_bytes_max=100 * KB, grace_s=0.0)
NO_RESERVE = BlobOptions(reserve_bytes=512 * KB, grace_s=0.0)


@pytest.fixture
async def tight(data_dir: Path) -> AsyncIterator[Store]:
    store = open_store(data_dir, TIGHT)
    yield store
    await store.close()


def data(number: int, size: int = 40 * KB) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


async def write_on(writer: BlobWriter) -> None:
    for _ in range(100):
        await writer.write(bytes(100 * KB))


async def held(store: Store, digests: list[Digest]) -> list[bool]:
    return [await store.blobs.has(digest) for digest in digests]


async def test_the_least_recently_used_goes_first(tight: Store, data_dir: Path):
    first, second = [await put(tight.blobs, data(number)) for number in (1, 2)]
    await got(tight.blobs, first)
    third = await put(tight.blobs, data(3))
    assert await held(tight, [first, second, third]) == [True, False, True]
    assert not (data_dir / "blobs" / second[:2] / second).exists()
    assert tight.blobs.cached_bytes == 80 * KB


async def test_the_order_of_use_survives_a_restart(data_dir: Path):
    store = open_store(data_dir, TIGHT)
    first, second = [await put(store.blobs, data(number)) for number in (1, 2)]
    await got(store.blobs, first)
    await store.close()
    store = open_store(data_dir, TIGHT)
    third = await put(store.blobs, data(3))
    assert await held(store, [first, second, third]) == [True, False, True]
    await store.close()


async def test_pinned_blobs_stay_also_after_a_restart_and_do_not_count(data_dir: Path):
    store = open_store(data_dir, TIGHT)
    pinned = [await put(store.blobs, data(number)) for number in (1, 2)]
    await store.blobs.pin("job", pinned)
    assert store.blobs.cached_bytes == 0
    await store.close()

    store = open_store(data_dir, TIGHT)
    others = [await put(store.blobs, data(number)) for number in (3, 4, 5, 6)]
    assert await held(store, pinned) == [True, True]
    assert await held(store, others) == [False, False, True, True]
    await store.blobs.unpin("job")
    assert store.blobs.cached_bytes <= 100 * KB
    assert await held(store, pinned) == [False, False]
    await store.close()


async def test_a_blob_stays_until_its_last_owner_lets_go(tight: Store):
    shared = await put(tight.blobs, data(1))
    for owner in ("one", "two"):
        await tight.blobs.pin(owner, [shared, shared])
    await tight.blobs.unpin("one")
    for number in (2, 3, 4):
        await put(tight.blobs, data(number))
    assert await tight.blobs.has(shared)
    await tight.blobs.unpin("two")
    await put(tight.blobs, data(5))
    assert not await tight.blobs.has(shared)


async def test_a_pin_may_come_before_the_blob(tight: Store):
    await tight.blobs.pin("job", [digest_of(data(1))])
    early = await put(tight.blobs, data(1))
    for number in (2, 3, 4):
        await put(tight.blobs, data(number))
    assert await tight.blobs.has(early)


async def test_a_digest_that_is_none_is_not_pinned(store: Store):
    with pytest.raises(Invalid):
        await store.blobs.pin("job", [Digest("../x")])


async def test_a_fresh_blob_waits_for_its_pin(data_dir: Path):
    store = open_store(data_dir, BlobOptions(cache_bytes_max=0))
    digests = [await put(store.blobs, data(number)) for number in (1, 2)]
    assert await held(store, digests) == [True, True]
    await store.close()


async def test_what_is_sent_again_waits_for_its_pin_when_its_last_owner_lets_go(data_dir: Path):
    store = open_store(data_dir, BlobOptions(cache_bytes_max=10 * KB, grace_s=60.0))
    digest = await put(store.blobs, data(1))
    await store.blobs.pin("old", [digest])
    assert await put(store.blobs, data(1)) == digest
    await store.blobs.unpin("old")
    assert await store.blobs.has(digest)
    await store.close()


async def test_a_blob_being_read_is_not_evicted(tight: Store):
    digest = await put(tight.blobs, data(1, 90 * KB))
    reading = tight.blobs.read(digest)
    first = await anext(reading)
    await put(tight.blobs, data(2))
    assert await tight.blobs.has(digest)
    assert first + b"".join([piece async for piece in reading]) == data(1, 90 * KB)
    await put(tight.blobs, data(3))
    assert not await tight.blobs.has(digest)


async def test_a_reader_that_goes_away_lets_go(tight: Store):
    digest = await put(tight.blobs, data(1, 90 * KB))
    reading = tight.blobs.read(digest)
    await anext(reading)
    await reading.aclose()  # type: ignore[attr-defined]
    await put(tight.blobs, data(2))
    assert not await tight.blobs.has(digest)


async def test_a_laid_out_scene_stays_while_any_of_its_blobs_is_pinned(tight: Store):
    main, texture = [await put(tight.blobs, data(number)) for number in (1, 2)]
    manifest = make_manifest("s.blend", [entry("s.blend", data(1)), entry("t.png", data(2))])
    await tight.blobs.pin("job", [main])
    tree = await tight.blobs.materialise(manifest)
    for number in (3, 4, 5):
        await put(tight.blobs, data(number))
    assert await held(tight, [main, texture]) == [True, True]
    assert (tree / "t.png").read_bytes() == data(2)
    await tight.blobs.unpin("job")
    await put(tight.blobs, data(6))
    assert not tree.exists()
    again = await tight.blobs.materialise(make_manifest("x", [entry("x", data(6))]))
    assert (again / "x").read_bytes() == data(6)


async def test_a_scene_is_not_given_out_while_one_of_its_blobs_is_leaving(tight: Store, monkeypatch: pytest.MonkeyPatch):
    """Its file is still there, and so is the laid-out scene; both go next."""
    digest = await put(tight.blobs, data(1))
    manifest = make_manifest("s.blend", [entry("s.blend", data(1))])
    await tight.blobs.materialise(manifest)
    look, leaving = Stock.sizes, list[asyncio.Task[None]]()

    async def meanwhile(stock: Stock, digests: Iterable[Digest]) -> dict[Digest, int]:
        leaving.append(asyncio.create_task(tight.blobs._evict(1)))
        await wait_until(lambda: digest not in stock.index)
        return await look(stock, digests)

    with monkeypatch.context() as patch:
        patch.setattr(Stock, "sizes", meanwhile)
        with pytest.raises(NotFound):
            await tight.blobs.materialise(manifest)
    await asyncio.gather(*leaving)
    assert not await tight.blobs.has(digest)


async def test_trees_share_their_bytes_with_the_blobs(store: Store):
    await put(store.blobs, LARGE)
    tree = await store.blobs.materialise(make_manifest("s.blend", [entry("s.blend", LARGE)]))
    path = await store.blobs.path(digest_of(LARGE))
    assert path is not None
    assert (tree / "s.blend").samefile(path)
    assert tree.stat().st_mode & 0o222 == 0


async def test_an_adopted_file_shares_its_bytes_and_one_from_elsewhere_is_copied(store: Store, small_disk: Path):
    near, far = store.work_dir / "near.png", small_disk / "far.png"
    for path in (near, far):
        path.write_bytes(path.name.encode() * 1000)
        digest, _ = await store.blobs.adopt(path)
        blob = await store.blobs.path(digest)
        assert blob is not None
        assert blob.read_bytes() == path.read_bytes()
        assert blob.samefile(path) is (path is near)
        assert blob.stat().st_nlink == (2 if path is near else 1)
    assert list((store.work_dir.parent / "tmp").iterdir()) == []


async def test_too_large_is_refused_at_once(data_dir: Path):
    store = open_store(data_dir, BlobOptions(reserve_bytes=2**60))
    with pytest.raises(StoreFull):
        await store.blobs.writer(size=1)
    with pytest.raises(StoreFull):
        await store.blobs.writer()
    await store.close()


async def test_a_disk_that_fills_up_leaves_nothing_half_written(small_disk: Path):
    store = open_store(small_disk, NO_RESERVE)
    expected = digest_of(b"never")
    writer = await store.blobs.writer(expected)
    await writer.write(bytes(2**20))
    eater = fill(small_disk, leave_bytes=700 * KB)
    with pytest.raises(StoreFull):
        await write_on(writer)
    assert list((small_disk / "tmp").iterdir()) == []
    await writer.abort(keep=True)
    with pytest.raises(StoreFull):
        await store.blobs.writer(size=2 * 2**20)
    eater.unlink()
    assert await put(store.blobs, LARGE) == digest_of(LARGE)
    await store.close()


async def test_no_space_at_all_is_full_also_without_a_reserve(small_disk: Path):
    store = open_store(small_disk, BlobOptions(reserve_bytes=-(2**30)))
    writer = await store.blobs.writer()
    fill(small_disk)
    with pytest.raises(StoreFull, match="No space"):
        await writer.write(bytes(2**20))
    assert list((small_disk / "tmp").iterdir()) == []
    await store.close()


async def test_unneeded_blobs_make_room_before_anything_is_refused(small_disk: Path):
    store = open_store(small_disk, NO_RESERVE)
    old, pinned = [await put(store.blobs, data(number, 2 * 2**20)) for number in (1, 2)]
    await store.blobs.pin("job", [pinned])
    announced = await store.blobs.writer(size=4 * 2**20)
    await announced.abort(keep=False)
    assert await held(store, [old, pinned]) == [False, True]
    with pytest.raises(StoreFull):
        await store.blobs.writer(size=7 * 2**20)
    await put(store.blobs, data(3, 2 * 2**20))
    unannounced = await put(store.blobs, data(4, 4 * 2**20))
    assert await held(store, [pinned, unannounced]) == [True, True]
    await store.close()


async def test_the_journal_still_writes_when_blobs_no_longer_may(small_disk: Path):
    from protocol.records import PutValue

    store = open_store(small_disk, BlobOptions(reserve_bytes=2**20, cache_bytes_max=2**30))
    with pytest.raises(StoreFull):
        await put(store.blobs, data(1, 8 * 2**20))
    await store.journal.commit([PutValue("still", b"writing")])
    await store.close()


async def test_a_flipped_bit_is_found_and_the_copy_dropped(store: Store):
    digest = await put(store.blobs, LARGE)
    manifest = make_manifest("s.blend", [entry("s.blend", LARGE)])
    tree = await store.blobs.materialise(manifest)
    await store.blobs.pin("job", [digest])
    await store.blobs.check(digest)
    path = await store.blobs.path(digest)
    assert path is not None
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"\xee")
    with pytest.raises(Corrupt, match="dropped"):
        await store.blobs.check(digest)
    assert not await store.blobs.has(digest)
    assert not path.exists()
    assert not tree.exists()
    with pytest.raises(NotFound):
        await store.blobs.check(digest)
    assert await put(store.blobs, LARGE) == digest
    await store.blobs.check(digest)


async def test_a_shortened_blob_is_corrupt_when_read(store: Store):
    digest = await put(store.blobs, LARGE)
    path = await store.blobs.path(digest)
    assert path is not None
    os.truncate(path, 300_000)
    with pytest.raises(Corrupt, match="dropped"):
        await got(store.blobs, digest)
    assert not await store.blobs.has(digest)


async def test_a_blob_that_somebody_deleted_is_not_here(store: Store):
    digests = [await put(store.blobs, data(number)) for number in (1, 2)]
    for digest in digests:
        path = await store.blobs.path(digest)
        assert path is not None
        path.unlink()
    with pytest.raises(NotFound):
        await got(store.blobs, digests[0])
    with pytest.raises(NotFound):
        await store.blobs.materialise(make_manifest("x", [entry("x", data(2))]))
    assert await held(store, digests) == [False, False]


async def test_a_torn_partial_is_caught_by_its_digest(data_dir: Path):
    store = open_store(data_dir)
    expected = digest_of(LARGE)
    writer = await store.blobs.writer(expected)
    await writer.write(LARGE[:500_000])
    await writer.abort(keep=True)
    await store.close()
    partial = data_dir / "tmp" / f"partial-{expected}"
    partial.write_bytes(LARGE[:400_000] + bytes(100_000))  # the size came to the disk, the last pages did not

    store = open_store(data_dir)
    again = await store.blobs.writer(expected, size=len(LARGE))
    await again.write(LARGE[again.offset :])
    with pytest.raises(Corrupt):
        await again.finish()
    assert not partial.exists()
    await store.close()


async def test_a_partial_longer_than_announced_is_begun_again(store: Store):
    expected = digest_of(b"short")
    writer = await store.blobs.writer(expected)
    await writer.write(LARGE)
    await writer.abort(keep=True)
    again = await store.blobs.writer(expected, size=5)
    assert again.offset == 0
    await again.write(b"short")
    assert await again.finish() == (expected, 5)


async def test_a_transfer_that_brought_nothing_leaves_nothing(store: Store, data_dir: Path):
    writer = await store.blobs.writer(digest_of(LARGE), size=len(LARGE))
    await writer.abort(keep=True)
    assert list((data_dir / "tmp").iterdir()) == []


@pytest.mark.parametrize("begun_first", [True, False])
async def test_a_partial_goes_when_its_blob_comes_in_another_way(store: Store, data_dir: Path, begun_first: bool):
    writer = await store.blobs.writer(digest_of(LARGE), size=len(LARGE))
    await writer.write(LARGE[:100_000])
    if begun_first:
        await writer.abort(keep=True)
    mine = data_dir / "work" / "frame.png"
    mine.write_bytes(LARGE)
    assert (await store.blobs.adopt(mine))[0] == digest_of(LARGE)
    if not begun_first:
        await writer.abort(keep=True)
    assert list((data_dir / "tmp").iterdir()) == []


async def test_only_so_many_partials_are_kept(store: Store, data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "PARTIALS_KEPT_MAX", 2)
    for number in range(4):
        writer = await store.blobs.writer(digest_of(bytes([number])))
        await writer.write(b"begun")
        await writer.abort(keep=True)
    assert len(list((data_dir / "tmp").iterdir())) == 2


async def test_a_cancelled_finish_leaves_a_whole_blob(store: Store):
    writer = await store.blobs.writer()
    await writer.write(LARGE)
    finishing = asyncio.create_task(writer.finish())
    await asyncio.sleep(0)
    finishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    assert await got(store.blobs, digest_of(LARGE)) == LARGE


async def test_many_writers_readers_and_evictions_at_once(data_dir: Path):
    """Each blob is either whole or not there, and the bookkeeping agrees with the disk at the end."""
    store = open_store(data_dir, TIGHT)

    async def churn(number: int) -> None:
        digest = await put(store.blobs, data(number % 12))
        with suppress(NotFound):  # evicted meanwhile
            assert await got(store.blobs, digest) == data(number % 12)

    async with asyncio.TaskGroup() as group:
        for number in range(120):
            group.create_task(churn(number))
    on_disk = {path.name: path.stat().st_size for path in (data_dir / "blobs").glob("*/*")}
    assert store.blobs.cached_bytes == sum(on_disk.values()) <= 100 * KB
    assert all([await store.blobs.has(Digest(name)) for name in on_disk])
    assert list((data_dir / "tmp").iterdir()) == []
    await store.close()
