"""Zips as no program writes them: built byte by byte, so that header and directory can say different things."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

LINK = (stat.S_IFLNK | 0o777) << 16


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip as the library writes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class Raw:
    """One member, with whatever is to be wrong about it. `at`: the directory sends readers to the member of that number;
    `said` is the size that the directory says, `local` the one in its own header."""

    name: bytes
    data: bytes = b""
    method: int = zipfile.ZIP_DEFLATED
    flags: int = 0x800
    attributes: int = 0
    said: int | None = None
    local: int | None = None
    crc: int | None = None
    at: int | None = None
    packed: bytes | None = None
    extra: bytes = b""


def raw_zip(members: Sequence[Raw], *, start: int | None = None) -> bytes:
    """A zip of them, in order; `start` is where the directory is said to begin."""
    out, places, rows = bytearray(), list[int](), bytearray()
    for member in members:
        packed = _packed(member)
        size = len(member.data) if member.said is None else member.said
        local = size if member.local is None else member.local
        crc = zlib.crc32(member.data) if member.crc is None else member.crc
        places.append(len(out))
        out += struct.pack(
            "<4s5H3I2H", b"PK\x03\x04", 20, member.flags, member.method, 0, 33, crc, len(packed), local, len(member.name), 0
        )
        out += member.name + packed
        place = places[-1] if member.at is None else places[member.at]
        rows += struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", 3 << 8 | 20, 20, member.flags, member.method, 0, 33, crc, len(packed), size,
            len(member.name), len(member.extra), 0, 0, 0, member.attributes, place,
        )  # fmt: skip
        rows += member.name + member.extra
    begin = len(out) if start is None else start
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(members) & 0xFFFF, len(members) & 0xFFFF, len(rows), begin, 0)
    return bytes(out + rows + end)


def _packed(member: Raw) -> bytes:
    if member.packed is not None:
        return member.packed
    if member.method != zipfile.ZIP_DEFLATED:
        return member.data
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(member.data) + deflate.flush()
