"""What is particular to file systems and platforms: fsync of folders, no-replace links, free space, which error means what.

Refuses to know about digests, caches and jobs. Where a file system or platform lacks hard links the fallback stands here,
and says what it costs.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from peer.ports import StoreBroken, StoreFull

FILE_MODE: Final = 0o444
FOLDER_MODE: Final = 0o700
TREE_FOLDER_MODE: Final = 0o555
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_NO_LINKS = frozenset((errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS))


@contextmanager
def disk_faults(what: str) -> Iterator[None]:
    """Turn ENOSPC and quota errors into `StoreFull`, EIO and a read-only remount into `StoreBroken`; others pass."""
    try:
        yield
    except OSError as fault:
        if fault.errno in _FULL:
            raise StoreFull(f"no space left to {what}: {fault.strerror}") from fault
        if fault.errno in (errno.EIO, errno.EROFS):
            raise StoreBroken(f"the disk failed to {what}: {fault.strerror}") from fault
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Windows has no such call: there NTFS journals names by itself."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_bytes(folder: Path) -> int:
    """Bytes that this process may still write on the file system of `folder`."""
    return shutil.disk_usage(folder).free


def place_no_replace(source: Path, target: Path, *, sync: bool = True) -> bool:
    """Give `source`'s bytes the name `target`, durably, unless it exists; False then. `source` keeps its name.

    Without `sync` the name is durable only after `sync_folder`.

    Where hard links are missing the file is renamed instead (`source` is gone then): no-replace is only a check there,
    which is enough because one process holds the folder's lock. `OSError` with EXDEV: another file system, copy first.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as fault:
        if fault.errno not in _NO_LINKS or fault.errno == errno.EXDEV:
            raise
        if target.exists():
            return False
        source.rename(target)
    if sync:
        sync_folder(target.parent)
    return True


def link_into_tree(blob: Path, name: Path) -> None:
    """Show `blob` under another name: a hard link, or a symbolic one where the file system or its link count says no."""
    try:
        os.link(blob, name, follow_symlinks=False)
    except OSError as fault:
        if fault.errno not in _NO_LINKS:
            raise
        name.symlink_to(blob.resolve())


def make_folder(folder: Path) -> None:
    """Make a private folder, with its parents; an existing one keeps its mode."""
    if not folder.is_dir():
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Remove a file, or a whole folder also when it is read-only; harmless when it is not there."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for folder, _, _ in os.walk(path):
        with suppress(OSError):
            Path(folder).chmod(FOLDER_MODE)
    shutil.rmtree(path, ignore_errors=True)
