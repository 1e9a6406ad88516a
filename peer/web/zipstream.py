"""A zip archive as it goes out: stored, never compressed, larger than 4 GiB where it must be, in bounded memory.

Pure: bytes in order, nothing read or sent. Every entry's size and checksum are known before its header, so that the plainest
reader understands it (entries with sizes behind their data, as streaming writers make them, are refused by many).
Source: APPNOTE.TXT 6.3.9 of PKWARE, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.14 to 16 (ends), 4.5.3 (zip64).
The standard library's zipfile would keep an object for each entry: about a gigabyte for a million frames.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from typing import Final

from protocol import limits

_DATE: Final = (1 << 5) | 1  # 1980-01-01: the same frames make the same archive
_UTF8: Final = 0x800
_MODE: Final = 0o100644 << 16
_LARGE: Final = 0xFFFFFFFF
_MANY: Final = 0xFFFF


class Archive:
    """Invariant: `offset` is the number of bytes handed out; the directory grows in a temporary file, not in memory."""

    def __init__(self) -> None:
        self.offset = 0
        self._count = 0
        self._directory = tempfile.SpooledTemporaryFile(max_size=limits.ZIP_DIRECTORY_MEMORY_BYTES)  # noqa: SIM115 - see close

    def entry(self, name: str, *, size: int, crc32: int) -> bytes:
        """The header of one file; exactly `size` bytes of it must follow, in `data`."""
        encoded = name.encode()
        large = size >= _LARGE
        extra = struct.pack("<HHQQ", 1, 16, size, size) if large else b""
        short = _LARGE if large else size
        version = 45 if large else 20
        fields = (version, _UTF8, 0, 0, _DATE, crc32, short, short, len(encoded), len(extra))
        header = struct.pack("<4s5H3I2H", b"PK\3\4", *fields) + encoded + extra
        self._remember(encoded, size=size, crc32=crc32)
        return self.data(header)

    def data(self, piece: bytes) -> bytes:
        """Count a piece on its way out."""
        self.offset += len(piece)
        return piece

    def end(self) -> Iterator[bytes]:
        """The directory, in pieces, and what closes the archive."""
        start, size = self.offset, self._directory.tell()
        self._directory.seek(0)
        while piece := self._directory.read(limits.BLOB_CHUNK_BYTES):
            yield self.data(piece)
        if start >= _LARGE or size >= _LARGE or self._count >= _MANY:
            at = self.offset
            yield self.data(
                struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, self._count, self._count, size, start)
                + struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
            )
        count = min(self._count, _MANY)
        yield self.data(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, min(size, _LARGE), min(start, _LARGE), 0))

    def close(self) -> None:
        """Drop the temporary file."""
        self._directory.close()

    def _remember(self, name: bytes, *, size: int, crc32: int) -> None:
        large, far = size >= _LARGE, self.offset >= _LARGE
        wide = ([size, size] if large else []) + ([self.offset] if far else [])
        extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        short = _LARGE if large else size
        version = 45 if wide else 20
        row = struct.pack(
            "<4s6H3I5H2I", b"PK\1\2", (3 << 8) | version, version, _UTF8, 0, 0, _DATE, crc32, short, short,
            len(name), len(extra), 0, 0, 0, _MODE, _LARGE if far else self.offset,
        )  # fmt: skip
        self._directory.write(row + name + extra)
        self._count += 1
