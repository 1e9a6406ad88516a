"""What a done frame costs in memory, without the renders: in the ledger's fold over an attic on the disk, and in the store."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import tracemalloc
from pathlib import Path

from peer.store.attic import FileAttic
from peer.store.blobs import BlobOptions
from peer.store.folder import Store, open_store
from protocol.ids import AttemptId, AuthorId, Digest, Fence, JobId, PeerId
from protocol.jobs.manifest import EMPTY
from protocol.jobs.results import FrameResult, Inspection, Output
from protocol.ledger.facts import Accepted, Body, Fact, FrameEnded, Inspected, Owner
from protocol.ledger.fold import JobFold
from tests.bench.measured import Row

JOB, AUTHOR, PEER = JobId("ab" * 16), AuthorId("cd" * 8), PeerId("ef" * 32)
WARM, FRAMES = 10_000, 60_000
WARM_BLOBS, BLOBS = 500, 1500
LEDGER_BYTES, BLOB_BYTES = 16.0, 16.0
OURS = tuple(tracemalloc.Filter(inclusive=True, filename_pattern=f"*/{part}/*") for part in ("protocol", "peer", "tests"))


def rows(folder: Path, *, frames: int) -> list[Row]:
    """Bytes per done frame and per pinned blob, and what they come to in a job of so many frames with two blobs each."""
    ledger, blob = _ledger_bytes(folder), asyncio.run(_blob_bytes(folder))
    return [
        Row("ledger, per done frame", LEDGER_BYTES, ledger, "B",
            {"all frames done, by extrapolation, MB": [ledger * frames / 2**20]}),
        Row("store, per pinned blob, its time to be pinned over", BLOB_BYTES, blob, "B",
            {"two for each frame, by extrapolation, MB": [2 * blob * frames / 2**20]}),
    ]  # fmt: skip


def _ledger_bytes(folder: Path) -> float:
    attic = FileAttic(folder)
    fold = JobFold(JOB, attic)
    spec = f'{{"renderer":"null","frames":"1-{FRAMES}"}}'
    seen = Inspected(AttemptId(1, PEER, 1), PEER, Inspection(), 1)
    first: list[Body] = [Accepted(spec, EMPTY, "local", "k", 1), Owner(Fence(1, PEER)), seen]
    for seq, body in enumerate(first, 1):
        fold.add(Fact(JOB, AUTHOR, seq, body))
    tracemalloc.start()
    try:
        before = 0
        for frame in range(1, FRAMES + 1):
            fold.add(Fact(JOB, AUTHOR, len(first) + frame, _ended(frame)))
            if frame == WARM:
                attic.settle()
                before = _held_bytes()
        attic.settle()
        assert fold.done == FRAMES
        return max(_held_bytes() - before, 0) / (FRAMES - WARM)
    finally:
        tracemalloc.stop()
        attic.close()


def _ended(frame: int) -> FrameEnded:
    picture, pixels, log = (
        Digest(hashlib.sha256(f"{frame} {what}".encode()).hexdigest()) for what in ("picture", "pixels", "log")
    )
    output = Output("main", f"shot_{frame:04d}.png", picture, pixels, 300_000, 1920, 1080, 4, "PNG")
    result = FrameResult((output,), None, 1.25, "cpu", log, 4000)
    return FrameEnded(frame, 0, AttemptId(1, PEER, 1000 + frame), PEER, result, 1_700_000_000_000 + frame)


async def _blob_bytes(folder: Path) -> float:
    store = open_store(folder / "done-frames-data", BlobOptions(grace_s=0.0))
    try:
        await _keep(store, range(WARM_BLOBS))
        tracemalloc.start()
        before = _held_bytes()
        await _keep(store, range(WARM_BLOBS, BLOBS))
        return max(_held_bytes() - before, 0) / (BLOBS - WARM_BLOBS)
    finally:
        tracemalloc.stop()
        await store.close()


async def _keep(store: Store, numbers: range) -> None:
    for number in numbers:
        path = store.work_dir / "blob"
        path.write_bytes(number.to_bytes(4, "big") * 100)
        digest, _ = await store.blobs.adopt(path)
        await store.blobs.pin(JOB, [digest])
        path.unlink()


def _held_bytes() -> int:
    """What our own lines have allocated and hold: tables of the interpreter grow by leaps that have nothing to do with it."""
    gc.collect()
    return sum(found.size for found in tracemalloc.take_snapshot().filter_traces(OURS).statistics("filename"))
