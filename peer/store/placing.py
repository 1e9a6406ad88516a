"""How verified bytes get their place among the blobs: one file, a copy from another disk, or many small ones side by side.

Decides the order of write, fsync, link and fsync of the folder. Refuses to know the index. Everything here blocks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import blake3

from peer import failpoints
from peer.ports import StoreFull
from peer.store.disk import FILE_MODE, disk_faults, free_bytes, place_no_replace, remove, sync_folder
from peer.store.incoming import Incoming, write_all
from protocol import limits
from protocol.ids import Digest

Written = tuple[Path, Digest, int]
"""A durable file under a temporary name, its digest and size."""


def place(source: Path, target: Path, size: int, leftovers: Iterable[Path] = (), *, sync: bool = True) -> bool:
    """Link verified bytes into place; whether there was no file. One that is not even as long is damaged, and gives way.
    Once they have their place, `leftovers` of earlier tries go.

    Without `sync` the name is durable only after `sync_folder` of its folder. A new name that cannot be made durable is taken
    away again, for whoever asks takes a file under its name for a blob."""
    with disk_faults("link a file into place"):
        source.chmod(FILE_MODE)
        failpoints.reach("blob commit before")
        new = place_no_replace(source, target, sync=False)
        if not new and target.stat().st_size != size:
            remove(target)
            place_no_replace(source, target, sync=False)
        if sync:
            _make_durable(target.parent, [target] if new else [])
        failpoints.reach("blob commit after")
    remove_all(leftovers)
    return new


def settle(source: Path, target: Path, size: int, leftovers: Iterable[Path] = ()) -> bool:
    """`place` a file that nobody needs under its temporary name any more, whatever comes of it."""
    try:
        return place(source, target, size, leftovers)
    finally:
        remove(source)


def place_all(files: Iterable[Written], folder: Path, leftovers: Iterable[Path] = ()) -> list[bool]:
    """Link files of one shard into its folder, and make all their names durable together; as `place` of each."""
    new: list[bool] = []
    names: list[Path] = []
    try:
        for path, digest, size in files:
            new.append(place(path, folder / digest, size, sync=False))
            names.extend([folder / digest] if new[-1] else [])
    except BaseException:
        remove_all(names)
        raise
    with disk_faults("link files into place"):
        _make_durable(folder, names)
    remove_all(leftovers)
    return new


def _make_durable(folder: Path, names: Iterable[Path]) -> None:
    try:
        sync_folder(folder)
    except BaseException:
        remove_all(names)
        raise


def write_small(files: Sequence[tuple[Path, bytes]]) -> list[Written]:
    """Write small files one after the other, each durable. Called on several threads at once, whose fsyncs share the disk's.

    Raises `StoreFull`, `StoreBroken`; what was written stays, for the caller to remove."""
    written: list[Written] = []
    with disk_faults("store a file"):
        for path, data in files:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            try:
                write_all(handle, data)
                os.fsync(handle)
            finally:
                os.close(handle)
            written.append((path, Digest(blake3.blake3(data).hexdigest()), len(data)))
    return written


def remove_all(paths: Iterable[Path]) -> None:
    """Remove files; harmless for those that are not there."""
    for path in paths:
        remove(path)


def copy_in(source: Path, copy: Path, digest: Digest, reserve_bytes: int) -> None:
    """A durable copy of a file from another file system. Raises `StoreFull`, `StoreBroken`, `Corrupt`."""
    incoming = Incoming(copy, expected=digest, size=None, reserve_bytes=reserve_bytes)
    with source.open("rb") as file:
        while piece := file.read(limits.HASH_PIECE_BYTES):
            if not incoming.write(piece):
                incoming.stop(keep=False)
                raise disk_full(reserve_bytes)
    incoming.seal()


def begin(path: Path, *, expected: Digest | None, size: int | None, reserve_bytes: int) -> Incoming | None:
    """A transfer into `path`, or one that goes on there; None, with nothing done, where `size` bytes do not fit."""
    if free_bytes(path.parent) - max((size or 0) - size_of(path), 0) < reserve_bytes:
        return None
    return Incoming(path, expected=expected, size=size, reserve_bytes=reserve_bytes)


def size_of(path: Path) -> int:
    """Bytes, 0 where there is no file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def disk_full(reserve_bytes: int) -> StoreFull:
    """What a writer is told."""
    return StoreFull(f"the disk is full: its last {reserve_bytes:,} bytes stay free for the journal")
