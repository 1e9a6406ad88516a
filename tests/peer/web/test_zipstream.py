"""Archives as the standard library's reader sees them, small and (without the bytes) large."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from peer.web.zipstream import Archive


def build(files: dict[str, bytes]) -> bytes:
    archive, out = Archive(), bytearray()
    for name, data in files.items():
        out += archive.entry(name, size=len(data), crc32=zlib.crc32(data))
        out += archive.data(data)
    for piece in archive.end():
        out += piece
    assert archive.offset == len(out)
    archive.close()
    return bytes(out)


def test_a_reader_finds_every_file():
    files = {"a/0001.png": b"one", "é.png": b"", "big.bin": bytes(100_000)}
    with zipfile.ZipFile(io.BytesIO(build(files))) as read:
        assert read.testzip() is None
        assert {name: read.read(name) for name in read.namelist()} == files


def test_more_than_65535_files():
    data = build({f"{number}": b"x" for number in range(65_600)})
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        assert len(read.namelist()) == 65_600
        assert read.read("65599") == b"x"


def test_files_and_offsets_beyond_4_gib():
    """The bytes of the first file are only counted: what is checked is what the directory says about it and the next."""
    archive, size = Archive(), 5 * 2**30
    head = archive.entry("huge", size=size, crc32=1)
    archive.offset += size
    archive.entry("after", size=3, crc32=zlib.crc32(b"xyz"))
    archive.data(b"xyz")
    tail = b"".join(archive.end())
    archive.close()
    assert struct.unpack("<HHQQ", head[-20:]) == (1, 16, size, size)

    class Sparse(io.RawIOBase):  # what lies before the directory is never read by `infolist`
        at = 0

        def seekable(self) -> bool:
            return True

        def readable(self) -> bool:
            return True

        def seek(self, offset: int, whence: int = 0) -> int:
            self.at = {0: 0, 1: self.at, 2: archive.offset}[whence] + offset
            return self.at

        def tell(self) -> int:
            return self.at

        def read(self, size: int = -1) -> bytes:
            start = self.at - (archive.offset - len(tail))
            piece = tail[start:] if size < 0 else tail[start : start + size]
            self.at += len(piece)
            return piece

    with zipfile.ZipFile(Sparse()) as read:
        rows = {row.filename: (row.file_size, row.header_offset) for row in read.infolist()}
    assert rows == {"huge": (size, 0), "after": (3, len(head) + size)}
