"""A store whose disk failed an fsync is retired: nothing is acknowledged from it until all of it was verified.

An fsync that failed once may "succeed" when it is repeated although the bytes are gone, so the process ends its promises at
once (`Database.retire`) and leaves a mark. The next start reads everything back from the disk itself, past the page cache: rows
must fit their sums, blobs their digests. The author id is drawn at each start, so that what is authored from then on cannot be
confused with what was lost.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw
import structlog

from peer.ports import StoreBroken
from peer.store.database import Database
from peer.store.disk import remove, sync_folder
from peer.store.incoming import hash_file
from peer.store.journal import damaged_rows
from peer.store.layout import SHARDS, BlobFolders

MARK: Final = "retired"
JOURNAL_FILES: Final = ("journal.db", "journal.db-wal")
_log = structlog.get_logger("rendermesh")


@dataclass(frozen=True, slots=True)
class Verified:
    """What a full verification has looked at, and how many damaged blobs it removed."""

    blobs: int
    dropped: int


def retire(data_dir: Path, reason: str) -> None:
    """Leave the mark, as well as a failing disk allows: the process that calls this acknowledges nothing more anyway."""
    with suppress(OSError):
        (data_dir / MARK).write_text(reason + "\n", encoding="utf-8")
        sync_folder(data_dir)


def reason_of(data_dir: Path) -> str | None:
    """Why the store is retired, None when it is not."""
    try:
        return (data_dir / MARK).read_text(encoding="utf-8", errors="replace").strip() or "unknown"
    except FileNotFoundError:
        return None


def forget_pages(paths: Iterable[Path]) -> None:
    """Let the next reads come from the disk: what the page cache holds may be what never reached it."""
    if sys.platform != "linux":
        return
    for path in paths:
        with suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)


def verify(data_dir: Path, folders: BlobFolders, database: Database) -> Verified:
    """Read everything back; blobs that do not fit their digests go (others hold copies, or they are rendered again). Blocks.

    Raises `StoreBroken` when the journal is damaged: what it acknowledged is gone. On success the mark is taken away."""
    wrong = database.run_now(_integrity)
    if wrong:
        raise StoreBroken(f"{data_dir / 'journal.db'} is damaged after a failed write: {wrong}; {_remedy(data_dir)}")
    bad = database.run_now(damaged_rows)
    if bad:
        named = "; ".join(bad[:10])
        raise StoreBroken(f"{len(bad):,} damaged rows in the journal after a failed write: {named}; {_remedy(data_dir)}")
    blobs = [digest for shard in range(SHARDS) for _, digest, _ in folders.scan(shard)]
    forget_pages(folders.path(digest) for digest in blobs)
    dropped = 0
    for digest in blobs:
        found = ""
        with suppress(OSError, ValueError):
            found, _ = hash_file(folders.path(digest))
        if found != digest:
            dropped += 1
            remove(folders.path(digest))
    remove(data_dir / MARK)
    sync_folder(data_dir)
    _log.warning("store_verified", blobs=len(blobs), dropped=dropped)
    return Verified(len(blobs), dropped)


def _remedy(data_dir: Path) -> str:
    return f"move the data folder {data_dir} away and start with an empty one; the other peers hold copies of its jobs"


def _integrity(connection: apsw.Connection) -> str:
    """SQLite's own complaint, empty when it has none."""
    found = str(connection.pragma("integrity_check"))
    return "" if found == "ok" else found[:500]
