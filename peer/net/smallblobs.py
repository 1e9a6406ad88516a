"""Many small blobs from one peer: asked for side by side into memory, then given to the store together.

A short cut only: what does not come this way, or comes wrong, is left to the fetcher, which asks everybody and says who lied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

import blake3

from peer.net.meshclient import TransferFailed
from peer.ports import Blobs
from protocol import limits
from protocol.ids import Address, Digest, PeerId

Item = tuple[Digest, int]


class Source(Protocol):
    """See `peer.net.fetch.BlobSource`."""

    async def copy_blob(
        self, peer: PeerId, address: Address, digest: Digest, *, start: int, size: int, sink: Callable[[bytes], Awaitable[None]]
    ) -> None: ...


async def bring(source: Source, blobs: Blobs, peer: PeerId, address: Address, items: Sequence[Item]) -> bool:
    """Bring what is small of `items` and comes whole; False when the peer did not give what was asked for.

    Raises what the store raises (`StoreFull`, `StoreBroken`)."""
    for batch in batches([item for item in items if item[1] <= limits.SMALL_FILE_BYTES_MAX]):
        came, is_giving = await _ask(source, peer, address, batch)
        if came:
            await blobs.take_many(came)
        if len(came) < len(batch):
            return is_giving  # this peer has not all of it, or is gone: no use to go on so
    return True


def batches(items: Sequence[Item]) -> Iterator[list[Item]]:
    """In order, each within `limits.SMALL_FILES_MAX` and `SMALL_FILES_BYTES_MAX`."""
    batch: list[Item] = []
    held = 0
    for item in items:
        if batch and (len(batch) >= limits.SMALL_FILES_MAX or held + item[1] > limits.SMALL_FILES_BYTES_MAX):
            yield batch
            batch, held = [], 0
        batch.append(item)
        held += item[1]
    if batch:
        yield batch


async def _ask(source: Source, peer: PeerId, address: Address, batch: Sequence[Item]) -> tuple[list[bytes], bool]:
    """Those that came whole and with the right bytes, and whether all came whole; nothing more is asked after the first that
    did not come or is wrong."""
    waiting, came, failed = list(reversed(batch)), list[bytes](), asyncio.Event()

    async def worker() -> None:
        while waiting:
            digest, size = waiting.pop()
            data = bytearray()

            async def sink(piece: bytes, *, data: bytearray = data, size: int = size) -> None:
                data += piece
                if len(data) > size:
                    raise TransferFailed(f"sends more than {size} bytes")

            try:
                if size:
                    await source.copy_blob(peer, address, digest, start=0, size=size, sink=sink)
            except TransferFailed:
                failed.set()
                waiting.clear()
                return
            if blake3.blake3(data).hexdigest() != digest:
                waiting.clear()
                return
            came.append(bytes(data))

    async with asyncio.TaskGroup() as group:
        for _ in range(min(limits.SMALL_FETCHES_AT_ONCE, len(batch))):
            _ = group.create_task(worker())
    return came, not failed.is_set()
