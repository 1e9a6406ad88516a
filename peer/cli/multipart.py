"""A form with files as a stream of bytes of known length: 2 GB pass through 256 KiB at a time.

Decides the bytes of multipart/form-data (RFC 7578). Refuses to know HTTP and what the parts mean.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peer.cli import bounds
from peer.cli.failures import CliError, Exit

_END: Final = b"\r\n"
_CODES: Final = ("%22", "%0D", "%0A")  # what browsers write for a quote and the ends of lines, and peers read so


@dataclass(frozen=True, slots=True)
class FilePart:
    """One file to send as `field`, under the name `name` (relative, forward slashes); `data` instead of what lies at `path`."""

    field: str
    name: str
    path: Path
    data: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes. Raises `CliError` when it cannot be read."""
        return _size(self.path) if self.data is None else len(self.data)


class Form:
    """Fields first, files after: a peer can refuse the fields before it has taken a single byte of the scene.

    Invariant: `chunks()` yields exactly `length` bytes or raises; it may be called again for another try.
    """

    def __init__(self, fields: Sequence[tuple[str, str]], files: Sequence[FilePart]) -> None:
        self._boundary = secrets.token_hex(16)
        self._fields = fields
        self._sizes = [(file, file.size) for file in files]
        self.file_bytes = sum(size for _, size in self._sizes)
        texts = sum(len(self._field(name, value)) for name, value in fields)
        heads = sum(len(self._head(file)) + len(_END) for file, _ in self._sizes)
        self.length = texts + heads + self.file_bytes + len(self._tail())

    @property
    def content_type(self) -> str:
        """The Content-Type header."""
        return f"multipart/form-data; boundary={self._boundary}"

    def chunks(self, sent: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
        """The body; `sent` is told the bytes of files handed out so far. Raises `CliError` when a file changes meanwhile."""
        done = 0
        sent(done)
        for name, value in self._fields:
            yield self._field(name, value)
        for file, size in self._sizes:
            yield self._head(file)
            for chunk in _contents(file.path, size) if file.data is None else [file.data]:
                yield chunk
                done += len(chunk)
                sent(done)
            yield _END
        yield self._tail()

    def _field(self, name: str, value: str) -> bytes:
        return self._open(f'form-data; name="{name}"') + _END + value.encode() + _END

    def _head(self, file: FilePart) -> bytes:
        disposition = f'form-data; name="{file.field}"; filename="{_quoted(file.name)}"'
        return self._open(disposition) + b"Content-Type: application/octet-stream\r\n\r\n"

    def _open(self, disposition: str) -> bytes:
        return f"--{self._boundary}\r\nContent-Disposition: {disposition}\r\n".encode()

    def _tail(self) -> bytes:
        return f"--{self._boundary}--\r\n".encode()


def _quoted(name: str) -> str:
    """A quoted-string (RFC 9110): backslash and quote are escaped. Raises `CliError` for control characters."""
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise CliError(Exit.USAGE, f"the file name {name!r} holds control characters", remedy="rename the file")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise CliError(Exit.USAGE, f"the file name {name!r} is not UTF-8", remedy="rename the file") from None
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    if quoted == name and any(code in name for code in _CODES):
        raise CliError(Exit.USAGE, f"the file name {name!r} would arrive as another one", remedy="rename the file")
    return quoted


def _size(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size
    except OSError as error:
        raise CliError(Exit.USAGE, f"cannot read {str(path)!r}", why=error.strerror or str(error)) from None


def _contents(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as file:
        while chunk := file.read(min(bounds.CHUNK_BYTES, left + 1)):
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
    if left != 0:
        raise CliError(
            Exit.ERROR,
            f"{str(path)!r} changed while it was sent; nothing was submitted",
            remedy="wait until it is saved, then submit again",
        )
