"""Where blobs, laid-out scenes and unfinished transfers lie in the data folder, and what is found there at a start."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peer.store.disk import remove
from protocol import limits
from protocol.ids import Digest, is_hex

SHARDS: Final = 256
PARTIAL: Final = "partial-"


@dataclass(frozen=True, slots=True)
class BlobFolders:
    """Where things lie, all on one file system: blobs by shard, laid-out scenes, and what is not finished."""

    blobs: Path
    trees: Path
    scratch: Path

    def shards(self) -> Iterator[Path]:
        """The folders that hold blobs, by the first two digits of the digest."""
        return (self.blobs / f"{number:02x}" for number in range(SHARDS))

    def path(self, digest: Digest) -> Path:
        """Where a blob lies when it is here."""
        return self.blobs / digest[:2] / digest

    def partial(self, digest: Digest) -> Path:
        """Where an interrupted transfer waits to be resumed."""
        return self.scratch / f"{PARTIAL}{digest}"

    def scan(self, shard: int) -> list[tuple[int, Digest, int]]:
        """The blobs of a shard on the disk: when each was used (nanoseconds), and its bytes; in no order.

        The list is empty where somebody has removed the folder."""
        found: list[tuple[int, Digest, int]] = []
        name = f"{shard:02x}"
        with suppress(FileNotFoundError), os.scandir(self.blobs / name) as entries:
            for entry in entries:
                if is_hex(entry.name, 64) and entry.name.startswith(name) and entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        found.append((status.st_atime_ns, Digest(entry.name), status.st_size))
        return found

    def sizes(self, digests: Iterable[Digest]) -> dict[Digest, int]:
        """Bytes of those blobs that have a file."""
        found: dict[Digest, int] = {}
        for digest in digests:
            with suppress(FileNotFoundError):
                found[digest] = self.path(digest).stat(follow_symlinks=False).st_size
        return found

    def prune_partials(self, busy: frozenset[Digest]) -> None:
        """Keep the newest `limits.PARTIALS_KEPT_MAX` interrupted transfers."""
        idle = [path for path in self.scratch.glob(f"{PARTIAL}*") if path.name.removeprefix(PARTIAL) not in busy]
        idle.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in idle[limits.PARTIALS_KEPT_MAX :]:
            remove(path)
