"""Deliveries of one peer into one root, performed for real. The pictures here are texts: PIXELS:ENCODING."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from peer.delivery import Delivery
from peer.outputs.root import Judge, OutputRoot
from peer.ports import Blobs, RenderFailed, ReportedFile, VerifiedFile
from protocol.effects import Deliver
from protocol.events import DeliverEnded
from protocol.ids import JobId, Ticket
from protocol.jobs.parcels import Parcel
from protocol.jobs.results import Failure, Output
from tests.fakes.memory_store import MemoryBlobs, digest_of
from tests.waiting import wait_until

JOB: Final = JobId("ab" * 16)


class Texts:
    """A verifier of pictures that are texts."""

    async def verify(self, files: Sequence[ReportedFile]) -> list[VerifiedFile]:
        return [VerifiedFile(file, self.hash(await asyncio.to_thread(file.path.read_bytes))) for file in files]

    def hash(self, data: bytes) -> str:
        pixels, colon, _ = data.partition(b":")
        if not colon:
            raise RenderFailed(Failure("verification", "no picture"))
        return digest_of(pixels)

    async def close(self) -> None:
        return None


@dataclass
class Bench:
    """A root, and who delivers into it."""

    blobs: MemoryBlobs
    delivery: Delivery
    told: list[DeliverEnded] = field(default_factory=list)
    tickets: int = 0

    def parcel(self, data: bytes, name: str = "shot_0001.png", *, generation: int = 0, replaces: Sequence[bytes] = ()) -> Parcel:
        digest = self.blobs.add(data)
        pixels = digest_of(data.partition(b":")[0])
        output = Output("main", "0001.png", digest, pixels, len(data), 4, 4, 3, "PNG")
        return Parcel(1, generation, (name,), (output,), tuple(digest_of(one) for one in replaces))

    async def deliver(self, *parcels: Parcel, folder: str = "film", sweep: bool = False, root: str = "out") -> DeliverEnded:
        self.tickets += 1
        self.delivery.deliver(Deliver(Ticket(f"t{self.tickets}"), JOB, root, folder, sweep, parcels))
        await wait_until(lambda: self.told)
        return self.told.pop()

    async def sweep(self, *parcels: Parcel, folder: str = "film") -> DeliverEnded:
        return await self.deliver(*parcels, folder=folder, sweep=True)


MakeRoot = Callable[[Blobs, Judge], OutputRoot]


@asynccontextmanager
async def delivering(make: MakeRoot, tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench whose root "out" is the one that `make` makes."""
    folder = tmp_path / "blobs"
    folder.mkdir()
    blobs = MemoryBlobs(folder)
    told: list[DeliverEnded] = []
    delivery = Delivery({"out": make(blobs, Judge(Texts()))}, told.append)
    yield Bench(blobs, delivery, told)
    await delivery.close()
