"""Reads the header of a .blend ourselves, before any Blender sees the file, and walks its blocks to the end.

Decides: is it a .blend, by which version, is all of it there, is there a Blender here that can open it. Refuses to know
what is in the blocks. Formats, as the files themselves show:

    legacy header (up to 4.x), 12 bytes:  BLENDER  _ or -  v or V  304    pointers of 4 or 8 bytes; little or big endian; version
    header since 5.0, 17 bytes:           BLENDER 17 - 01 v 0500          its length; pointers; block format; endian; version
    block, 4-byte pointers, 20 bytes:     code:4  length:i32  address:u32  struct:i32  count:i32
    block, 8-byte pointers, 24 bytes:     code:4  length:i32  address:u64  struct:i32  count:i32
    block of format 1, 32 bytes:          code:4  struct:i32  address:u64  length:i64  count:i64

The last block has the code ENDB; DNA1, which describes the structs, comes somewhere before it. The whole file may be
packed with gzip (before 3.0) or zstd. Whatever follows ENDB (the seek table of a zstd file, say) is not needed to open it.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

import zstandard

from peer.render.signatures import HEAD_BYTES, described, looks_like
from protocol import limits
from protocol.errors import Invalid

Compression = Literal["none", "gzip", "zstd"]

_LEGACY: Final = re.compile(rb"BLENDER([_-])([vV])(\d)(\d\d)")
_MODERN: Final = re.compile(rb"BLENDER(\d\d)([_-])(\d\d)([vV])(\d\d)(\d\d)")
_VERSION: Final = re.compile(r"(\d{1,4})(?:\.(\d{1,4}))?(?:\.|\Z)", re.ASCII)
_HEADER_BYTES_MAX: Final = 17
_SKIP_BYTES: Final = 2**20
_UNPACK_ERRORS: Final = (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError)


@dataclass(frozen=True, slots=True)
class BlendHeader:
    """The first bytes of a .blend. `version` is Blender's (major, minor); `block_format` 0 is the legacy one.

    `blocks` is the number of blocks up to and with ENDB; 0 when their format is newer than what is known here.
    """

    version: tuple[int, int]
    compressed: Compression
    pointer_bytes: int
    little_endian: bool
    block_format: int
    blocks: int = 0

    @property
    def text(self) -> str:
        """The version for people: `3.4`."""
        return f"{self.version[0]}.{self.version[1]}"


def read_header(path: Path) -> BlendHeader:
    """Read the header and walk the blocks to ENDB. Blocking; plain files are walked by seeking, packed ones streamed.

    Raises `Invalid` (`not_a_blend`, naming what the file looks like, or `truncated_blend`), and OSError.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        kind = looks_like(head)
        file.seek(0)
        match kind:
            case "blend":
                return _walk(file, "none", path.stat().st_size)
            case "gzip":
                with gzip.GzipFile(fileobj=file) as unpacked:
                    return _walk(unpacked, "gzip", limits.SCENE_BYTES_MAX)
            case "zstd":
                unpacker = zstandard.ZstdDecompressor(max_window_size=limits.BLEND_WINDOW_BYTES_MAX)
                with unpacker.stream_reader(file, read_across_frames=True, closefd=False) as unpacked:
                    return _walk(unpacked, "zstd", limits.SCENE_BYTES_MAX)
            case _:
                raise _not_a_blend(described(kind))


def parse_header(head: bytes) -> tuple[BlendHeader, int] | None:
    """The header at the start of unpacked bytes, with its own length; None when there is none. Pure."""
    if found := _MODERN.match(head):
        size, pointers, block_format, endian, major, minor = found.groups()
        header = _header(pointers, endian, (int(major), int(minor)), int(block_format))
        return header, int(size)
    if found := _LEGACY.match(head):
        pointers, endian, major, minor = found.groups()
        return _header(pointers, endian, (int(major), int(minor)), 0), 12
    return None


def known_versions(texts: Iterable[str]) -> list[tuple[int, int]]:
    """The (major, minor) of Blenders, sorted; what peers call a version and is none is left out. Pure."""
    found = (_VERSION.match(text) for text in texts)
    return sorted({(int(match[1]), int(match[2] or 0)) for match in found if match is not None})


def check_version(header: BlendHeader, known_versions: Sequence[tuple[int, int]]) -> None:
    """Raise `Invalid` (`blend_too_new`) when every known Blender is older than the one that saved the file. Pure.

    An empty `known_versions` says nothing: whether there is a Blender at all is another question.
    """
    if not known_versions or header.version <= max(known_versions):
        return
    there = ", ".join(f"{major}.{minor}" for major, minor in sorted(set(known_versions)))
    raise Invalid(
        "blend_too_new",
        f"This file was saved by Blender {header.text}, which is newer than any Blender here ({there}). "
        f"Add a peer with Blender {header.text} or newer, or save the scene with an older Blender.",
    )


def _header(pointers: bytes, endian: bytes, version: tuple[int, int], block_format: int) -> BlendHeader:
    return BlendHeader(
        version=version,
        compressed="none",
        pointer_bytes=8 if pointers == b"-" else 4,
        little_endian=endian == b"v",
        block_format=block_format,
    )


def _walk(file: BinaryIO | gzip.GzipFile | zstandard.ZstdDecompressionReader, packed: Compression, size: int) -> BlendHeader:
    source = _Source(file, packed, size)
    with _naming_damage(source):
        head = source.peek(_HEADER_BYTES_MAX)
        parsed = parse_header(head)
        if parsed is None:
            raise _no_header(head, packed)
        header, header_bytes = parsed
        source.take(header_bytes)
        blocks = _count_blocks(source, header) if header.block_format <= 1 else 0
    return BlendHeader(header.version, packed, header.pointer_bytes, header.little_endian, header.block_format, blocks)


def _count_blocks(source: _Source, header: BlendHeader) -> int:
    """Follow the chain of blocks to ENDB. Raises `Invalid` when it breaks off or cannot be one."""
    described_structs = False
    for count, (code, length) in enumerate(_blocks(source, header), start=1):
        if code == b"ENDB":
            if not described_structs:
                raise _truncated("its description of the data (DNA1) is missing")
            return count
        described_structs = described_structs or code == b"DNA1"
        if length < 0 or count >= limits.BLEND_BLOCKS_MAX:
            raise _truncated(f"its blocks are damaged at byte {source.offset}")
        source.skip(length)
    raise AssertionError("the blocks end with ENDB or with an error")


def _blocks(source: _Source, header: BlendHeader) -> Iterator[tuple[bytes, int]]:
    """Block headers as (code, bytes that follow); whoever iterates skips those bytes."""
    order = "<" if header.little_endian else ">"
    if header.block_format == 1:
        layout, at = struct.Struct(f"{order}4siQqq"), 3
    else:
        layout, at = struct.Struct(f"{order}4si{'Q' if header.pointer_bytes == 8 else 'I'}ii"), 1
    while True:
        fields = layout.unpack(source.take(layout.size))
        yield fields[0], fields[at]


class _Source:
    """Unpacked bytes, read forwards only. Never more than `size` of them; `take` and `skip` raise EOFError at the end."""

    def __init__(
        self, file: BinaryIO | gzip.GzipFile | zstandard.ZstdDecompressionReader, packed: Compression, size: int
    ) -> None:
        self._file = file
        self._packed = packed
        self._size = size
        self._ahead = b""
        self.offset = 0

    def peek(self, count: int) -> bytes:
        """Up to `count` next bytes, which stay next."""
        while len(self._ahead) < count and (more := self._file.read(count - len(self._ahead))):
            self._ahead += more
        return self._ahead[:count]

    def take(self, count: int) -> bytes:
        data = self.peek(count)
        if len(data) < count:
            raise EOFError
        self._ahead = self._ahead[count:]
        self.offset += count
        return data

    def skip(self, count: int) -> None:
        if self.offset + count > self._size:
            raise EOFError
        inside = min(count, len(self._ahead))
        self.take(inside)
        rest = count - inside
        if self._packed == "none":
            self._file.seek(rest, 1)
            self.offset += rest
            return
        while rest > 0:
            data = self._file.read(min(rest, _SKIP_BYTES))
            if not data:
                raise EOFError
            rest -= len(data)
            self.offset += len(data)


@contextlib.contextmanager
def _naming_damage(source: _Source) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise _truncated(f"it breaks off after {source.offset} bytes") from None
    except _UNPACK_ERRORS as error:
        raise _truncated(f"it cannot be unpacked after {source.offset} bytes ({error})") from None


def _no_header(head: bytes, packed: Compression) -> Invalid:
    if head.startswith(b"BLENDER"):
        cut = len(head) < (_HEADER_BYTES_MAX if head[7:8].isdigit() else 12)
        return _truncated("not even its header is whole") if cut else _not_a_blend("a damaged .blend header")
    if packed != "none" and not head:
        return _truncated("it breaks off before its header")
    inside = described(looks_like(head))
    return _not_a_blend(inside if packed == "none" else f"{packed}-compressed data with {inside} inside")


def _not_a_blend(what: str) -> Invalid:
    return Invalid("not_a_blend", f"This is not a .blend file: it looks like {what}. Send the scene as Blender saved it.")


def _truncated(how: str) -> Invalid:
    return Invalid("truncated_blend", f"This .blend file is not whole: {how}. Save it again in Blender, or send it again.")
