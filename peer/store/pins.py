"""Who needs which blobs: pins that survive a restart, kept in the journal's database by its one writer."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from peer.store.database import Database
from protocol.ids import Digest


class Pins:
    """Durable sets of digests by owner (a job id). What is true now is counted in `CacheIndex`; this is what lasts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, owner: str, digests: Sequence[Digest]) -> None:
        """Durable when it returns. Raises `StoreFull`, `StoreBroken`."""
        rows = [(owner, bytes.fromhex(digest)) for digest in digests]
        await self._database.run(lambda connection: _execute_many(connection, "INSERT OR IGNORE INTO pins VALUES (?, ?)", rows))

    async def drop(self, owner: str) -> None:
        """Forget the owner; durable when it returns. Raises `StoreFull`, `StoreBroken`."""
        await self._database.run(lambda connection: _execute_many(connection, "DELETE FROM pins WHERE owner = ?", [(owner,)]))

    def load(self) -> dict[str, set[Digest]]:
        """Every pin by owner; blocks (at the opening of the store)."""
        rows = self._database.run_now(lambda connection: list(connection.execute("SELECT owner, digest FROM pins")))
        pins: dict[str, set[Digest]] = {}
        for owner, digest in rows:
            pins.setdefault(owner, set()).add(Digest(digest.hex()))
        return pins


def _execute_many(connection: apsw.Connection, statement: str, rows: Sequence[tuple[str | bytes, ...]]) -> None:
    connection.executemany(statement, rows)
