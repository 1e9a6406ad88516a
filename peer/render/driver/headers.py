"""Width, height and channels from the first bytes of an image file. Reads headers, decodes nothing, trusts nobody's names."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_HEAD_BYTES = 65_536
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_TIFF_TYPES = {3: "H", 4: "I"}

Measure = tuple[int, int, int]


def measure(path: Path) -> Measure | None:
    """(width, height, channels) of a PNG, JPEG, EXR, TIFF or WebP, those of the first part; None for anything else."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        try:
            if head.startswith((b"II*\0", b"MM\0*")):
                return _tiff(file, "<" if head[:1] == b"I" else ">")
            return _from_head(head)
        except (struct.error, IndexError, ValueError):
            return None


def _from_head(head: bytes) -> Measure | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(head)
    if head.startswith(b"\xff\xd8"):
        return _jpeg(head)
    if head.startswith(b"\x76\x2f\x31\x01"):
        return _exr(head)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp(head)
    return None


def _png(head: bytes) -> Measure:
    width, height, _, kind = struct.unpack_from(">IIBB", head, 16)
    return width, height, _PNG_CHANNELS.get(kind, 0)


def _jpeg(head: bytes) -> Measure | None:
    at = 2
    while at + 9 < len(head):
        marker, length = struct.unpack_from(">HH", head, at)
        if 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC):
            height, width, channels = struct.unpack_from(">HHB", head, at + 5)
            return width, height, channels
        at += 2 + length
    return None


def _exr(head: bytes) -> Measure | None:
    """Attributes of the first part: name, type, size, value (OpenEXR File Layout)."""
    at, channels, window = 8, 0, None
    while head[at] != 0:
        name, at = _text(head, at)
        _, at = _text(head, at)
        (size,) = struct.unpack_from("<i", head, at)
        at += 4
        if name == b"channels":
            channels = _exr_channels(head[at : at + size])
        elif name == b"dataWindow":
            window = struct.unpack_from("<4i", head, at)
        at += size
    return None if window is None else (window[2] - window[0] + 1, window[3] - window[1] + 1, channels)


def _exr_channels(value: bytes) -> int:
    at, count = 0, 0
    while value[at] != 0:
        _, at = _text(value, at)
        at += 16
        count += 1
    return count


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.index(b"\0", at)
    return data[at:end], end + 1


def _tiff(file: BinaryIO, order: str) -> Measure:
    """Tags 256, 257 and 277 of the first directory, wherever in the file it lies."""
    file.seek(4)
    (at,) = struct.unpack(order + "I", file.read(4))
    file.seek(at)
    (count,) = struct.unpack(order + "H", file.read(2))
    entries = file.read(12 * count)
    tags: dict[int, int] = {}
    for at in range(0, 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", entries, at)
        if kind in _TIFF_TYPES:
            (tags[tag],) = struct.unpack_from(order + _TIFF_TYPES[kind], entries, at + 8)
    return tags.get(256, 0), tags.get(257, 0), tags.get(277, 1)


def _webp(head: bytes) -> Measure | None:
    kind = head[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
        return width, height, 4 if head[20] & 0x10 else 3
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), 4 if bits >> 28 & 1 else 3
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF, 3
    return None
