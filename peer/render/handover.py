"""How a frame's files leave the folder that a renderer writes to: one by one, into a folder that no renderer has ever seen.

Decides what is taken along. Refuses to trust what lies there: the renderer may hold its folder open and change it meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from peer.ports import RenderFailed
from protocol.jobs.results import Failure, FailureClass

_NOT_AS_GIVEN: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FILE: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def hand_over(outbox: Path, folder: Path, names: Iterable[str], log: str) -> None:
    """Move the files `names` (relative, with `/`) from `outbox` into `folder`, and remove what else lies there; blocks.

    No link is followed, and none of the new names can be changed from `outbox`; only the bytes of a file that the renderer
    still holds open. A file that is not there is left out. Raises `RenderFailed` (`log` with it); it is the renderer's fault
    when its folder is not what it was given."""
    try:
        if os.rename in os.supports_dir_fd:
            with _opened(outbox) as root:
                for name in names:
                    _move(root, name, folder / name)
        else:  # a platform without that has no sandbox either
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(outbox / name, folder / name)
    except OSError as error:
        text = f"what the renderer has written cannot be taken over: {error.strerror}"
        whose: FailureClass = "renderer" if isinstance(error, _NotAsGivenError) else "infrastructure"
        raise RenderFailed(Failure(whose, text), log=log) from None
    finally:
        shutil.rmtree(outbox, ignore_errors=True)


class _NotAsGivenError(OSError):
    """Where a folder should be there is none, or a link."""


def _move(root: int, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    *parents, last = name.split("/")
    with contextlib.ExitStack() as stack:
        for part in parents:
            root = stack.enter_context(_opened(part, root))
        with contextlib.suppress(FileNotFoundError):  # the verifier says so
            _rename(root, last, target)


@contextlib.contextmanager
def _opened(folder: str | Path, root: int | None = None) -> Iterator[int]:
    """A descriptor of a folder, itself no link. Raises `_NotAsGivenError`."""
    try:
        found = os.open(folder, _FOLDER, dir_fd=root)
    except OSError as error:
        raise (_NotAsGivenError if error.errno in _NOT_AS_GIVEN else OSError)(error.errno, error.strerror) from None
    try:
        yield found
    finally:
        os.close(found)


def _rename(at: int, name: str, target: Path) -> None:
    try:
        os.rename(name, target, src_dir_fd=at)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(at, name, target)


def _copy(at: int, name: str, target: Path) -> None:
    """From another file system. What is no plain file is left out."""
    with os.fdopen(os.open(name, _FILE, dir_fd=at), "rb") as source:
        if stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            with target.open("xb") as copy:
                shutil.copyfileobj(source, copy)
