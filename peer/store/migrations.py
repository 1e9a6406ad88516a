"""The layout of the store's tables, as numbered steps, and how an older store becomes a current one.

Decides which tables exist. Refuses to know what is in them. A step is never edited once released: a change of layout is
a new step at the end.
"""

from __future__ import annotations

from typing import Final

import apsw

from peer.store.errors import StoreNewer, StoreUnusable

APPLICATION_ID: Final = 0x524D5348  # "RMSH": tells our file from any other SQLite database

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE facts (
        job BLOB NOT NULL, author BLOB NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL, sum BLOB NOT NULL,
        PRIMARY KEY (job, author, seq)
    ) WITHOUT ROWID;
    CREATE TABLE kv (key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL, sum BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE pins (owner TEXT NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (owner, digest)) WITHOUT ROWID;
    CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE INDEX pins_by_digest ON pins (digest);
    """,
)
VERSION: Final = len(MIGRATIONS)


def migrate(connection: apsw.Connection, *, where: str) -> None:
    """Bring the store to `VERSION`, each step in its own transaction.

    Raises `StoreNewer` when it is ahead of this program, `StoreUnusable` when it is another program's database.
    """
    found = int(connection.pragma("user_version"))
    owner = int(connection.pragma("application_id"))
    if found > VERSION:
        raise StoreNewer(
            f"{where} has layout version {found}; this program knows versions up to {VERSION}. "
            "Start the newer program that wrote it, or give this one another data folder",
            found=found,
            known=VERSION,
        )
    if owner not in (0, APPLICATION_ID) or (owner == 0 and found > 0):
        raise StoreUnusable(f"{where} is a database of another program; choose another data folder")
    for number in range(found, VERSION):
        _step(connection, number)


def _step(connection: apsw.Connection, number: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(MIGRATIONS[number])
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", number + 1)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:  # SQLite may have rolled back by itself, on a full disk for example
            connection.execute("ROLLBACK")
