"""What is here and what must stay, when pins, arrivals and removals meet. What it is good for is tested with the blobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from pathlib import Path

import pytest

from peer.ports import StoreFull
from peer.store.blobs import BlobOptions
from peer.store.folder import Store, open_store
from peer.store.pins import Pins
from peer.store.stock import Stock
from protocol.ids import Digest
from tests.contract.blobs_suite import digest_of, put
from tests.peer.store.test_blobs import KB, data, held

TIGHT = BlobOptions(cache_bytes_max=100 * KB, grace_s=0.0)


@pytest.fixture
async def tight(data_dir: Path) -> AsyncIterator[Store]:
    store = open_store(data_dir, TIGHT)
    yield store
    await store.close()


async def test_a_pinned_blob_costs_no_memory(tight: Store):
    digests = [await put(tight.blobs, data(number, KB)) for number in range(10)]
    await tight.blobs.pin("job", digests)
    assert (tight.blobs._index.digests(), tight.blobs._index._awaited) == ([], set())
    assert await held(tight, digests) == [True] * 10
    assert await tight.blobs.size(digests[3]) == KB
    await tight.blobs.unpin("job")
    assert tight.blobs.cached_bytes == 10 * KB


async def test_a_start_tells_pinned_free_and_expected_apart(data_dir: Path):
    store = open_store(data_dir, TIGHT)
    pinned, free = await put(store.blobs, data(1)), await put(store.blobs, data(2))
    await store.blobs.pin("job", [pinned, digest_of(data(3))])
    await store.close()
    store = open_store(data_dir, TIGHT)
    assert store.blobs._index.digests() == [free]
    assert store.blobs._index._awaited == {digest_of(data(3))}
    assert await put(store.blobs, data(3)) == digest_of(data(3))
    assert store.blobs._index.digests() == [free], "what was expected has come, and stays"
    await store.close()


async def test_what_is_pinned_stays_whatever_the_index_believes(tight: Store):
    digest = await put(tight.blobs, data(1))
    await tight.blobs.pin("job", [digest])
    tight.blobs._index.free(digest, 40 * KB)
    for number in (2, 3, 4):
        await put(tight.blobs, data(number))
    assert await tight.blobs.has(digest)
    assert digest not in tight.blobs._index


async def test_a_pin_that_fails_leaves_everything_as_it_was(tight: Store, monkeypatch: pytest.MonkeyPatch):
    free, kept, absent = await put(tight.blobs, data(1)), await put(tight.blobs, data(2)), digest_of(data(3))
    await tight.blobs.pin("old", [kept])

    async def full(_pins: Pins, _owner: str, _digests: Sequence[Digest]) -> None:
        raise StoreFull("no")

    with monkeypatch.context() as patch:
        patch.setattr(Pins, "add", full)
        with pytest.raises(StoreFull):
            await tight.blobs.pin("new", [free, kept, absent])
    assert tight.blobs._index.digests() == [free]
    assert tight.blobs._index._awaited == set()
    await put(tight.blobs, data(3))
    assert tight.blobs._index.digests() == [free, absent]


async def test_a_pin_during_an_unpinning_keeps_the_blob(tight: Store):
    digests = [await put(tight.blobs, data(number, KB)) for number in range(20)]
    for _ in range(10):
        await tight.blobs.pin("one", digests)
        await asyncio.gather(tight.blobs.unpin("one"), tight.blobs.pin("two", digests))
        for number in (101, 102, 103):
            await put(tight.blobs, data(number))
        assert await held(tight, digests) == [True] * 20
        await tight.blobs.unpin("two")
        assert tight.blobs.cached_bytes <= 100 * KB
        digests = [await put(tight.blobs, data(number, KB)) for number in range(20)]


async def test_a_blob_that_arrives_twice_and_is_pinned_between_stays(tight: Store, data_dir: Path):
    digest = await put(tight.blobs, data(1))
    await tight.blobs.pin("job", [digest])
    assert await put(tight.blobs, data(1)) == digest
    assert digest not in tight.blobs._index
    (data_dir / "blobs" / digest[:2] / digest).unlink()
    assert not await tight.blobs.has(digest)
    assert await put(tight.blobs, data(1)) == digest
    for number in (2, 3, 4):
        await put(tight.blobs, data(number))
    assert await tight.blobs.has(digest)


async def cancel_half_way(work: Coroutine[None, None, None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancel `work` when the pins are written and the files are being looked for."""
    task, look = asyncio.create_task(work), Stock.sizes

    async def cancelled(stock: Stock, digests: Iterable[Digest]) -> dict[Digest, int]:
        task.cancel()
        return await look(stock, digests)

    with monkeypatch.context() as patch:
        patch.setattr(Stock, "sizes", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_cancelled_pin_does_not_go_on_expecting_what_is_here(tight: Store, monkeypatch: pytest.MonkeyPatch):
    digest = await put(tight.blobs, data(1))
    await tight.blobs.pin("old", [digest])
    await cancel_half_way(tight.blobs.pin("new", [digest]), monkeypatch)
    assert tight.blobs._index._awaited == set()


async def test_a_cancelled_unpinning_knows_what_is_free_now(tight: Store, monkeypatch: pytest.MonkeyPatch):
    digest = await put(tight.blobs, data(1))
    await tight.blobs.pin("job", [digest])
    await cancel_half_way(tight.blobs.unpin("job"), monkeypatch)
    assert tight.blobs._index.digests() == [digest]


async def test_what_is_pinned_again_while_an_unpinning_looks_for_the_files_is_not_free(
    tight: Store, monkeypatch: pytest.MonkeyPatch
):
    here, absent = await put(tight.blobs, data(1)), digest_of(data(2))
    await tight.blobs.pin("one", [here, absent])
    look, pins = Stock.sizes, list[asyncio.Task[None]]()

    async def meanwhile(stock: Stock, digests: Iterable[Digest]) -> dict[Digest, int]:
        sizes = await look(stock, digests)
        if not pins:
            pins.append(asyncio.create_task(tight.blobs.pin("two", [here, absent])))
            await pins[0]
        return sizes

    monkeypatch.setattr(Stock, "sizes", meanwhile)
    await tight.blobs.unpin("one")
    assert tight.blobs._index.digests() == []
    assert tight.blobs._index._awaited == {absent}, "what never came is not lost"
