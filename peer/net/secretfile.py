"""Small secret files: made once, whole or not at all, private to their user.

Decides how a secret reaches the disk. Refuses to know what the secret is good for.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from protocol.errors import Invalid
from protocol.limits import SECRET_FILE_BYTES_MAX


def make_once(path: Path, content: bytes) -> bytes:
    """Create `path` (0600, fsynced) with `content` unless it exists; the bytes that stand there afterwards.

    Two processes that start at once agree: the file appears whole through a no-replace link, and the loser reads the
    winner's. Raises OSError where the folder cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _write_new(draft, content)
    try:
        _publish(draft, path, content)
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return read_bounded(path)


def read_bounded(path: Path) -> bytes:
    """The file's bytes. Raises `Invalid` (`secret_file_too_large`) for what cannot be a key, OSError as open() does."""
    with path.open("rb") as file:
        content = file.read(SECRET_FILE_BYTES_MAX + 1)
    if len(content) > SECRET_FILE_BYTES_MAX:
        raise Invalid("secret_file_too_large", f"{path} is larger than {SECRET_FILE_BYTES_MAX} bytes: it holds no key.")
    return content


def refuse_if_open(path: Path, *, forbidden_mode: int) -> None:
    """Raise `Invalid` (`secret_file_open`) when a bit of `forbidden_mode` is set. Only POSIX modes are looked at."""
    if os.name != "posix":
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & forbidden_mode:
        raise Invalid(
            "secret_file_open",
            f"{path} is open to other users (mode {mode:04o}). If nobody else has read it: chmod 600 {path}. "
            "Otherwise remove it and start again: a new one is made.",
        )


def _write_new(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _publish(draft: Path, path: Path, content: bytes) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links (FAT, some network mounts): exclusive creation is the next best
        try:
            _write_new(path, content)
        except FileExistsError:
            return


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
