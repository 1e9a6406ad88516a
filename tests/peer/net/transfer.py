"""Both ends of a large transfer, each in a process of its own, so that its memory can be read.

`serve FOLDER MEBIBYTES` prints one line of JSON with its address, peer id and the blob's digest, and serves until its
standard input ends; `fetch FOLDER LINE` brings the blob into a real store. Each prints its peak memory in bytes at last,
as it was before and after.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import blake3

from peer.net.fetch import BlobFetcher
from peer.net.meshclient import MeshClient
from peer.net.meshserver import MeshServer
from peer.store.folder import open_store
from protocol.ids import Address, Digest, PeerId
from protocol.limits import BLOB_CHUNK_BYTES
from tests.peer.net.peers import certificates_in

PIECE = bytes(range(256)) * (BLOB_CHUNK_BYTES // 256)


class MadeBlob:
    """A blob that nobody holds in memory: the same piece again and again."""

    def __init__(self, pieces: int) -> None:
        hasher = blake3.blake3()
        for _ in range(pieces):
            hasher.update(PIECE)
        self.digest = Digest(hasher.hexdigest())
        self.bytes = pieces * BLOB_CHUNK_BYTES

    async def size(self, digest: Digest) -> int | None:
        return self.bytes if digest == self.digest else None

    async def read(self, digest: Digest, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        for at in range(start, self.bytes if end is None else end, BLOB_CHUNK_BYTES):
            yield PIECE[at % BLOB_CHUNK_BYTES :]


def peak_bytes() -> int:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def serve(folder: Path, mebibytes: int) -> None:
    """One holder."""
    blob = MadeBlob(mebibytes * 2**20 // BLOB_CHUNK_BYTES)
    certificates = certificates_in(folder, now=dt.datetime.now(dt.UTC))
    server = MeshServer(certificates, blob, lambda sender, message: True, on_drop=lambda reason, n: None)  # type: ignore[arg-type]
    address = await server.listen("127.0.0.1", 0)
    before = peak_bytes()
    row = {"port": address.port, "peer": certificates.identity.peer_id, "digest": blob.digest, "size": blob.bytes}
    print(json.dumps(row), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.close()
    print(json.dumps({"before": before, "after": peak_bytes()}), flush=True)


async def fetch(folder: Path, line: str) -> None:
    """One thief."""
    row = json.loads(line)
    peer, digest = PeerId(row["peer"]), Digest(row["digest"])
    store = open_store(folder / "store")
    client = MeshClient(certificates_in(folder), on_failed=lambda peer, message, refused: None)
    fetcher = BlobFetcher(client, store.blobs, {peer: Address("127.0.0.1", row["port"])}.get)
    before = peak_bytes()
    await fetcher.fetch(digest, row["size"], [peer])
    size = await store.blobs.size(digest)
    print(json.dumps({"before": before, "after": peak_bytes(), "size": size}), flush=True)
    await fetcher.close()
    await client.close()
    await store.close()


if __name__ == "__main__":
    verb, place, argument = sys.argv[1:]
    asyncio.run(serve(Path(place), int(argument)) if verb == "serve" else fetch(Path(place), argument))
