from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from peer.net.fetch import BlobFetcher, FetchFailed
from peer.net.meshclient import TransferFailed
from peer.ports import StoreFull
from protocol.errors import Unavailable
from protocol.ids import Address, Digest, PeerId
from protocol.limits import BLOB_CHUNK_BYTES, FETCH_TRIES_PER_HOLDER_MAX, FETCHES_AT_ONCE_MAX
from tests.fakes.memory_store import MemoryBlobs, digest_of
from tests.peer.net.peers import HeldBlobs, MeshPeer, certificates_in, mesh_peer
from tests.waiting import wait_until

CONTENT = random.Random(1).randbytes(5 * BLOB_CHUNK_BYTES + 77)
DIGEST = digest_of(CONTENT)
SIZE = len(CONTENT)
ANN, BOB, CY = (PeerId(letter * 64) for letter in "abc")


class Holder:
    """What one peer would send. `cut`: it breaks off after so many bytes of one answer, once for each entry."""

    def __init__(self, content: bytes = CONTENT, *, cut: tuple[int, ...] = (), gate: asyncio.Event | None = None) -> None:
        self.content = content
        self.cut = list(cut)
        self.gate = gate
        self.starts: list[int] = []


class Source:
    """Holders without a network between."""

    def __init__(self, **holders: Holder) -> None:
        self.holders = {PeerId(name * 64): holder for name, holder in holders.items()}
        self.at_once = self.most_at_once = 0

    def address(self, peer: PeerId) -> Address | None:
        return Address("127.0.0.1", 7701) if peer in self.holders else None

    async def copy_blob(
        self, peer: PeerId, address: Address, digest: Digest, *, start: int, size: int, sink: Callable[[bytes], Awaitable[None]]
    ) -> None:
        holder = self.holders[peer]
        holder.starts.append(start)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self._send(holder, start, sink)
        finally:
            self.at_once -= 1

    async def _send(self, holder: Holder, start: int, sink: Callable[[bytes], Awaitable[None]]) -> None:
        cut = holder.cut.pop(0) if holder.cut else None
        wanted = holder.content[start:] if cut is None else holder.content[start : start + cut]
        for at in range(0, len(wanted), BLOB_CHUNK_BYTES):
            await sink(wanted[at : at + BLOB_CHUNK_BYTES])
            if holder.gate is not None:
                await holder.gate.wait()
        if cut is not None:
            raise TransferFailed("broke off")


class Thief:
    def __init__(self, folder: Path, source: Source, **options: int) -> None:
        self.blobs = MemoryBlobs(folder, **options)
        self.corrupt: list[PeerId] = []
        self.fetcher = BlobFetcher(source, self.blobs, source.address, on_corrupt=lambda peer, digest: self.corrupt.append(peer))

    async def fetch(self, *holders: PeerId, digest: Digest = DIGEST, size: int = SIZE) -> None:
        await self.fetcher.fetch(digest, size, holders)


async def test_a_blob_comes_from_the_first_holder(tmp_path: Path):
    source = Source(a=Holder(), b=Holder())
    thief = Thief(tmp_path, source)
    await thief.fetch(ANN, BOB)
    assert thief.blobs.blobs[DIGEST] == CONTENT
    assert source.holders[BOB].starts == []


async def test_what_is_here_already_is_not_fetched(tmp_path: Path):
    source = Source(a=Holder())
    thief = Thief(tmp_path, source)
    thief.blobs.add(CONTENT)
    await thief.fetch(ANN)
    assert source.holders[ANN].starts == []


@pytest.mark.parametrize("content", [b"", b"x", CONTENT[:BLOB_CHUNK_BYTES]])
async def test_sizes_at_the_edges(tmp_path: Path, content: bytes):
    thief = Thief(tmp_path, Source(a=Holder(content)))
    await thief.fetch(ANN, digest=digest_of(content), size=len(content))
    assert thief.blobs.blobs[digest_of(content)] == content


async def test_the_next_holder_goes_on_where_the_broken_one_stopped(tmp_path: Path):
    cuts = (BLOB_CHUNK_BYTES, 100, 0)
    source = Source(a=Holder(cut=cuts), b=Holder())
    thief = Thief(tmp_path, source)
    await thief.fetch(ANN, BOB)
    assert thief.blobs.blobs[DIGEST] == CONTENT
    assert source.holders[ANN].starts == [0, BLOB_CHUNK_BYTES, BLOB_CHUNK_BYTES + 100]
    assert source.holders[BOB].starts == [BLOB_CHUNK_BYTES + 100]


async def test_a_holder_that_keeps_breaking_off_is_not_asked_for_ever(tmp_path: Path):
    source = Source(a=Holder(cut=(10,) * 50))
    thief = Thief(tmp_path, source)
    with pytest.raises(FetchFailed):
        await thief.fetch(ANN)
    assert len(source.holders[ANN].starts) == FETCH_TRIES_PER_HOLDER_MAX


async def test_after_a_failure_the_next_call_resumes(tmp_path: Path):
    source = Source(a=Holder(cut=(BLOB_CHUNK_BYTES, 0)))
    thief = Thief(tmp_path, source)
    with pytest.raises(FetchFailed):
        await thief.fetch(ANN)
    await thief.fetch(ANN)
    assert source.holders[ANN].starts == [0, BLOB_CHUNK_BYTES, BLOB_CHUNK_BYTES]
    assert thief.blobs.blobs[DIGEST] == CONTENT


async def test_a_corrupt_holder_is_charged_and_the_next_one_asked(tmp_path: Path):
    source = Source(a=Holder(bytes(SIZE)), b=Holder())
    thief = Thief(tmp_path, source)
    await thief.fetch(ANN, BOB)
    assert thief.corrupt == [ANN]
    assert thief.blobs.blobs[DIGEST] == CONTENT


async def test_of_mixed_bytes_nobody_is_charged_until_each_was_asked_alone(tmp_path: Path):
    source = Source(a=Holder(bytes(SIZE), cut=(100, 0)), b=Holder())
    thief = Thief(tmp_path, source)
    await thief.fetch(ANN, BOB)
    assert thief.corrupt == [ANN]
    assert source.holders[BOB].starts == [100, 0]
    assert thief.blobs.blobs[DIGEST] == CONTENT


async def test_a_spoilt_partial_file_is_nobodys_fault(tmp_path: Path):
    source = Source(a=Holder())
    thief = Thief(tmp_path, source)
    thief.blobs.partials[DIGEST] = bytes(100)
    await thief.fetch(ANN)
    assert source.holders[ANN].starts == [100, 0]
    assert thief.corrupt == []
    assert thief.blobs.blobs[DIGEST] == CONTENT


async def test_a_partial_file_that_is_whole_already_costs_no_transfer(tmp_path: Path):
    source = Source(a=Holder())
    thief = Thief(tmp_path, source)
    thief.blobs.partials[DIGEST] = CONTENT
    await thief.fetch(ANN)
    assert source.holders[ANN].starts == []
    assert thief.blobs.blobs[DIGEST] == CONTENT


async def test_a_partial_file_that_is_too_long_is_begun_anew(tmp_path: Path):
    source = Source(a=Holder())
    thief = Thief(tmp_path, source)
    thief.blobs.partials[DIGEST] = CONTENT + b"more"
    await thief.fetch(ANN)
    assert source.holders[ANN].starts == [0]


@pytest.mark.parametrize(
    ("content", "fault"), [(CONTENT + b"more", "sends more than"), (CONTENT[:-1], f"ended after {SIZE - 1} of")]
)
async def test_too_many_or_too_few_bytes_are_a_fault_of_the_holder(tmp_path: Path, content: bytes, fault: str):
    thief = Thief(tmp_path, Source(a=Holder(content, cut=()), b=Holder()))
    with pytest.raises(FetchFailed, match=fault):
        await thief.fetch(ANN)


async def test_the_error_names_each_holder_and_its_failure(tmp_path: Path):
    source = Source(a=Holder(bytes(SIZE)), b=Holder(cut=(0,)))
    thief = Thief(tmp_path, source)
    with pytest.raises(FetchFailed) as caught:
        await thief.fetch(ANN, BOB, CY)
    assert caught.value.faults == {
        ANN: "its bytes have another digest",
        BOB: "broke off",
        CY: "no address is known",
    }
    for part in ("aaaaaaaaaaaaaaaa: its bytes", "bbbbbbbbbbbbbbbb: broke off", "cccccccccccccccc: no address", DIGEST[:16]):
        assert part in caught.value.message


async def test_without_holders_it_says_so(tmp_path: Path):
    with pytest.raises(FetchFailed, match="no holder is known"):
        await Thief(tmp_path, Source()).fetch()


async def test_concurrent_callers_share_one_transfer_and_add_holders(tmp_path: Path):
    gate = asyncio.Event()
    source = Source(a=Holder(cut=(BLOB_CHUNK_BYTES, 0), gate=gate), b=Holder())
    thief = Thief(tmp_path, source)
    async with asyncio.TaskGroup() as group:
        group.create_task(thief.fetch(ANN))
        await wait_until(lambda: source.holders[ANN].starts)
        group.create_task(thief.fetch(BOB))
        await wait_until(lambda: len(thief.fetcher._flights[DIGEST].holders) == 2)
        gate.set()
    assert source.holders[ANN].starts == [0, BLOB_CHUNK_BYTES]
    assert source.holders[BOB].starts == [BLOB_CHUNK_BYTES]
    assert source.most_at_once == 1
    assert thief.fetcher._flights == {}


async def test_a_failure_reaches_every_caller(tmp_path: Path):
    gate = asyncio.Event()
    thief = Thief(tmp_path, Source(a=Holder(cut=(10, 0), gate=gate)))
    calls = [asyncio.create_task(thief.fetch(ANN)) for _ in range(3)]
    await wait_until(lambda: thief.fetcher._flights and thief.fetcher._flights[DIGEST].waiters == 3)
    gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [FetchFailed] * 3


async def test_one_caller_that_gives_up_does_not_stop_the_others(tmp_path: Path):
    gate = asyncio.Event()
    source = Source(a=Holder(gate=gate))
    thief = Thief(tmp_path, source)
    impatient, patient = (asyncio.create_task(thief.fetch(ANN)) for _ in range(2))
    await wait_until(lambda: source.holders[ANN].starts)
    impatient.cancel()
    await asyncio.wait([impatient])
    gate.set()
    await patient
    assert source.holders[ANN].starts == [0]
    assert thief.blobs.blobs[DIGEST] == CONTENT


async def test_a_transfer_that_nobody_waits_for_stops_and_keeps_what_it_has(tmp_path: Path):
    gate = asyncio.Event()
    source = Source(a=Holder(gate=gate))
    thief = Thief(tmp_path, source)
    only = asyncio.create_task(thief.fetch(ANN))
    await wait_until(lambda: source.at_once)
    only.cancel()
    await asyncio.wait([only])
    assert source.at_once == 0
    assert thief.blobs.partials[DIGEST] == CONTENT[:BLOB_CHUNK_BYTES]
    gate.set()
    await thief.fetch(ANN)
    assert source.holders[ANN].starts == [0, BLOB_CHUNK_BYTES]


async def test_transfers_at_once_are_bounded(tmp_path: Path):
    gate = asyncio.Event()
    contents = [bytes([number]) * 1_000 for number in range(FETCHES_AT_ONCE_MAX + 3)]
    sources = Source(**{"abcdef0123456789"[number]: Holder(content, gate=gate) for number, content in enumerate(contents)})
    thief = Thief(tmp_path, sources)
    async with asyncio.TaskGroup() as group:
        for content, peer in zip(contents, sources.holders, strict=True):
            group.create_task(thief.fetch(peer, digest=digest_of(content), size=1_000))
        await wait_until(lambda: sources.at_once == FETCHES_AT_ONCE_MAX)
        gate.set()
    assert sources.most_at_once == FETCHES_AT_ONCE_MAX
    assert len(thief.blobs.blobs) == len(contents)


async def test_a_full_store_is_told_at_once_and_asks_nobody(tmp_path: Path):
    source = Source(a=Holder(), b=Holder())
    thief = Thief(tmp_path, source, bytes_max=1_000)
    with pytest.raises(StoreFull):
        await thief.fetch(ANN, BOB)
    assert source.holders[ANN].starts == []


async def test_a_store_that_fills_up_on_the_way_keeps_no_half_file(tmp_path: Path):
    source = Source(a=Holder())
    thief = Thief(tmp_path, source, bytes_max=2**20 * 2)
    call = asyncio.create_task(thief.fetch(ANN))
    source.holders[ANN].gate = gate = asyncio.Event()
    await wait_until(lambda: source.at_once)
    thief.blobs.bytes_max = BLOB_CHUNK_BYTES
    gate.set()
    with pytest.raises(StoreFull):
        await call
    assert thief.blobs.partials == {}


async def test_close_stops_every_transfer(tmp_path: Path):
    source = Source(a=Holder(gate=asyncio.Event()))
    thief = Thief(tmp_path, source)
    call = asyncio.create_task(thief.fetch(ANN))
    await wait_until(lambda: source.at_once)
    await thief.fetcher.close()
    assert source.at_once == 0
    for refused in (call, thief.fetch(ANN)):
        with pytest.raises(Unavailable) as caught:
            await refused
        assert caught.value.code == "shutting_down"


# ---- over real sockets ------------------------------------------------------------------------------------------------


@pytest.fixture
async def thief(tmp_path: Path) -> AsyncIterator[MeshPeer]:
    async with mesh_peer(certificates_in(tmp_path / "thief")) as peer:
        yield peer


async def test_a_server_that_breaks_off_in_mid_blob_is_followed_by_another(tmp_path: Path, thief: MeshPeer):
    broken, whole = HeldBlobs(CONTENT, cut_at=[2 * BLOB_CHUNK_BYTES, 0, 0]), HeldBlobs(CONTENT)
    async with (
        mesh_peer(certificates_in(tmp_path / "broken"), blobs=broken) as first,
        mesh_peer(certificates_in(tmp_path / "whole"), blobs=whole) as second,
    ):
        blobs = MemoryBlobs(tmp_path)
        addresses = {first.id: first.address, second.id: second.address}
        fetcher = BlobFetcher(thief.client, blobs, addresses.get)
        await fetcher.fetch(DIGEST, SIZE, [first.id, second.id])
    assert blobs.blobs[DIGEST] == CONTENT
    assert broken.starts[0] == 0
    assert 0 < whole.starts[0] <= 2 * BLOB_CHUNK_BYTES


async def test_a_corrupt_server_then_a_good_one(tmp_path: Path, thief: MeshPeer):
    lying, good = HeldBlobs(), HeldBlobs(CONTENT)
    lying.contents[DIGEST] = bytes(SIZE)
    corrupt: list[PeerId] = []
    async with (
        mesh_peer(certificates_in(tmp_path / "lying"), blobs=lying) as first,
        mesh_peer(certificates_in(tmp_path / "good"), blobs=good) as second,
    ):
        blobs = MemoryBlobs(tmp_path)
        addresses = {first.id: first.address, second.id: second.address}
        fetcher = BlobFetcher(thief.client, blobs, addresses.get, on_corrupt=lambda peer, digest: corrupt.append(peer))
        await fetcher.fetch(DIGEST, SIZE, [first.id, second.id])
    assert corrupt == [first.id]
    assert blobs.blobs[DIGEST] == CONTENT


async def test_a_quarter_of_a_gibibyte_costs_neither_side_its_size_in_memory(tmp_path: Path):
    """Each end in a process of its own: the peak grows by a small part of what is transferred."""
    module = (sys.executable, "-m", "tests.peer.net.transfer")
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(*module, "serve", str(tmp_path / "a"), "256", stdin=pipe, stdout=pipe)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        line = (await server.stdout.readline()).decode()
        client = await asyncio.create_subprocess_exec(*module, "fetch", str(tmp_path / "b"), line, stdout=pipe)
        fetched = json.loads((await client.communicate())[0])
    finally:
        server.stdin.close()
        served = json.loads(await server.stdout.readline() or "{}")
        await server.wait()
    assert fetched["size"] == 256 * 2**20
    for end in (fetched, served):
        assert end["after"] - end["before"] < 48 * 2**20
