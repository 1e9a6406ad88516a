"""Peers for tests: real sockets on loopback, real certificates, and lists in place of an engine."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import blake3

from peer.net.certificates import MeshCertificates, make_certificates
from peer.net.identity import load_or_make_identity
from peer.net.meshclient import MeshClient
from peer.net.meshserver import ApiHandler, MeshServer
from peer.ports import Blobs, StoreBroken
from protocol.ids import Address, Digest, JobId, PeerId
from protocol.limits import BLOB_CHUNK_BYTES
from protocol.wire.seal import MeshKey
from protocol.wire.work import Wake

MESH = MeshKey(bytes(range(16)), bytes(range(32)), "tests")
OTHER_KEY = MeshKey(MESH.mesh_id, bytes(32), "tests")
OTHER_NAME = MeshKey(MESH.mesh_id, MESH.key, "others")
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def certificates_in(folder: Path, *, mesh: MeshKey = MESH, now: dt.datetime = NOW) -> MeshCertificates:
    """Certificates of a peer whose identity lies in `folder`."""
    return make_certificates([mesh], load_or_make_identity(folder), now=now)


def wake(number: int) -> Wake:
    """A small message with a number in it."""
    return Wake(JobId(f"{number:032x}"))


class HeldBlobs:
    """Blobs that a server serves. `cut_at`: reading breaks off there, once for each entry."""

    def __init__(self, *contents: bytes, cut_at: list[int] | None = None) -> None:
        self.contents = {Digest(blake3.blake3(content).hexdigest()): content for content in contents}
        self.cut_at = cut_at or []
        self.starts: list[int] = []
        self.open_reads = 0

    async def size(self, digest: Digest) -> int | None:
        content = self.contents.get(digest)
        return None if content is None else len(content)

    async def read(self, digest: Digest, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        content = self.contents[digest][:end]
        self.starts.append(start)
        cut = self.cut_at.pop(0) if self.cut_at else None
        self.open_reads += 1
        try:
            for at in range(start, len(content), BLOB_CHUNK_BYTES):
                if cut is not None and at >= cut:
                    raise StoreBroken("the disk has failed")
                yield content[at : at + BLOB_CHUNK_BYTES]
        finally:
            self.open_reads -= 1


@dataclass
class MeshPeer:
    """Both ends of one peer, and what has come to it. `room` is how many more messages its inbox takes."""

    certificates: MeshCertificates
    received: list[tuple[PeerId, object]] = field(default_factory=list)
    failed: list[tuple[PeerId, object, bool]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    broken: list[PeerId] = field(default_factory=list)
    room: int = 10**9
    address: Address = field(init=False)
    client: MeshClient = field(init=False)
    server: MeshServer = field(init=False)

    @property
    def id(self) -> PeerId:
        """Its peer id."""
        return self.certificates.identity.peer_id

    def take(self, sender: PeerId, message: object) -> bool:
        """The inbox."""
        if self.room <= 0:
            return False
        self.room -= 1
        self.received.append((sender, message))
        return True

    def fail(self, peer: PeerId, message: object, refused: bool) -> None:
        """Where undelivered messages come back."""
        self.failed.append((peer, message, refused))

    def drop(self, reason: str, n: int) -> None:
        """Where drops are counted."""
        self.dropped[reason] += n


@asynccontextmanager
async def mesh_peer(
    certificates: MeshCertificates, *, blobs: object = None, api: ApiHandler | None = None
) -> AsyncIterator[MeshPeer]:
    """A peer that listens on a free loopback port."""
    peer = MeshPeer(certificates)
    peer.client = MeshClient(certificates, on_failed=peer.fail, on_broken=peer.broken.append)
    peer.server = MeshServer(
        certificates, cast(Blobs, blobs or HeldBlobs()), peer.take, on_drop=peer.drop, on_broken=peer.broken.append, api=api
    )
    peer.address = await peer.server.listen("127.0.0.1", 0)
    try:
        yield peer
    finally:
        await peer.client.close()
        await peer.server.close()
