"""Why a data folder cannot be used: each text names the folder and says what to do next.

Refuses to know about single commits and blobs: their errors (`StoreFull`, `StoreBroken`, `Corrupt`) stand in `peer.ports`.
"""

from __future__ import annotations


class StoreUnusable(Exception):
    """A store that cannot be opened here and now; nothing in it was changed. The text is for people."""


class FolderTaken(StoreUnusable):
    """Another running process has this folder. `pid` is what it wrote into the lock file, None when unreadable."""

    def __init__(self, message: str, *, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


class FolderUnwritable(StoreUnusable):
    """The folder cannot be made, entered or written: rights, a read-only file system, a full disk, a file in its place."""


class StoreNewer(StoreUnusable):
    """The store was written by a newer program. `found` and `known` are the two layout versions."""

    def __init__(self, message: str, *, found: int, known: int) -> None:
        super().__init__(message)
        self.found = found
        self.known = known
