"""Peers that tell of themselves in these tests, and what was heard."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from hashlib import sha256
from itertools import count

from peer.discovery.advert import Advert
from peer.ports import Provider
from protocol.effects import Notice
from protocol.ids import Address, PeerId

MESH = "aa" * 8
OTHER_MESH = "bb" * 8
_NUMBERS = count(1)


def make_id() -> PeerId:
    """An id that no other test, and no other run at the same time, has."""
    return PeerId(sha256(f"{os.getpid()} {next(_NUMBERS)}".encode()).hexdigest())


def make_advert(
    *,
    peer: PeerId | None = None,
    name: str = "oak",
    mesh: str = MESH,
    port: int = 7700,
    bind: str = "127.0.0.1",
    advertise: str | None = None,
) -> Advert:
    """A peer of this version, on loopback."""
    return Advert(
        peer=peer or make_id(), name=name, meshes=lambda: (mesh,), port=port, tls=False, run_epoch=3, version="0.1.0",
        bind=bind, advertise=advertise,
    )  # fmt: skip


class Ear:
    """What a provider has told and noticed."""

    def __init__(self) -> None:
        self.found: list[Address] = []
        self.notices: list[Notice] = []

    def hear(self, addresses: tuple[Address, ...]) -> None:
        self.found += addresses

    @property
    def errors(self) -> list[str]:
        """The texts of the faults told, oldest first."""
        return [notice.fields["error"] for notice in self.notices if notice.event == "discovery_failed"]


def make_mesh() -> str:
    """A mesh prefix that nobody else on this machine's loopback has."""
    return make_id()[:16]


@contextlib.asynccontextmanager
async def running(provider: Provider, ear: Ear) -> AsyncIterator[asyncio.Task[None]]:
    """The provider at work; by the end it has said goodbye."""
    task = asyncio.create_task(provider.run(ear.hear))
    try:
        yield task
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])
