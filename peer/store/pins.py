"""Who needs which blobs: pins that survive a restart, kept in the journal's database by its one writer, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import apsw

from peer.store.database import Database
from protocol.ids import Digest

PAGE: Final = 1000
DIGEST_BYTES: Final = 32


class Pins:
    """Durable sets of digests by owner (a job id)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, owner: str, digests: Sequence[Digest]) -> None:
        """Durable when it returns. Raises `StoreFull`, `StoreBroken`."""
        rows = [(owner, bytes.fromhex(digest)) for digest in digests]
        await self._database.run(lambda connection: connection.executemany("INSERT OR IGNORE INTO pins VALUES (?, ?)", rows))

    async def drop(self, owner: str) -> tuple[bool, list[Digest]]:
        """Forget some pins of the owner, durably: whether there are more, and which of these digests nobody has pinned now.

        Raises `StoreFull`, `StoreBroken`."""
        return await self._database.run(lambda connection: _drop(connection, owner))

    async def among(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those of `digests` that anybody has pinned. Raises `StoreBroken`."""
        asked = [bytes.fromhex(digest) for digest in digests]
        found = await self._database.run(lambda connection: [raw for raw in asked if _is_pinned(connection, raw)])
        return {Digest(raw.hex()) for raw in found}

    async def in_shards(self, first: int, last: int) -> set[Digest]:
        """The pinned digests whose first byte is one of these. Raises `StoreBroken`."""
        return await self._database.run(lambda connection: _in_shards(connection, first, last))

    def load_shards(self, first: int, last: int) -> set[Digest]:
        """`in_shards` at the opening of the store; blocks."""
        return self._database.run_now(lambda connection: _in_shards(connection, first, last))


def _drop(connection: apsw.Connection, owner: str) -> tuple[bool, list[Digest]]:
    page = [raw for (raw,) in connection.execute("SELECT digest FROM pins WHERE owner = ? LIMIT ?", (owner, PAGE))]
    connection.executemany("DELETE FROM pins WHERE owner = ? AND digest = ?", [(owner, raw) for raw in page])
    return len(page) == PAGE, [Digest(raw.hex()) for raw in page if not _is_pinned(connection, raw)]


def _is_pinned(connection: apsw.Connection, raw: bytes) -> bool:
    return next(iter(connection.execute("SELECT 1 FROM pins WHERE digest = ? LIMIT 1", (raw,))), None) is not None


def _in_shards(connection: apsw.Connection, first: int, last: int) -> set[Digest]:
    ends = bytes([first]) + bytes(DIGEST_BYTES - 1), bytes([last]) + b"\xff" * (DIGEST_BYTES - 1)
    rows = connection.execute("SELECT digest FROM pins WHERE digest BETWEEN ? AND ?", ends)
    return {Digest(raw.hex()) for (raw,) in rows}
