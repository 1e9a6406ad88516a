"""A process to be killed: stores facts, values and blobs as fast as it can, and says what was acknowledged.

`python -m tests.peer.store.crasher FOLDER` prints one line for each acknowledgement, after it."""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from peer.store.folder import Store, open_store
from protocol.records import PutFact, PutValue
from tests.contract.journal_suite import owner_fact


async def facts(store: Store, lane: int) -> None:
    for seq in itertools.count(1):
        await store.journal.commit([PutFact(owner_fact(lane, seq)), PutValue(f"lane/{lane}", str(seq).encode())])
        print(f"fact {lane} {seq}", flush=True)


async def blobs(store: Store, lane: int) -> None:
    for number in itertools.count():
        writer = await store.blobs.writer()
        for _ in range(20):
            await writer.write(f"{store.run_epoch} {lane} {number} ".encode() * 2000)
        digest, size = await writer.finish()
        await store.blobs.pin(f"lane/{lane}", [digest])
        print(f"blob {digest} {size}", flush=True)


async def main(folder: Path) -> None:
    store = open_store(folder)
    print(f"epoch {store.run_epoch}", flush=True)
    async with asyncio.TaskGroup() as group:
        for lane in range(4):
            group.create_task(facts(store, lane))
        for lane in range(2):
            group.create_task(blobs(store, lane))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
