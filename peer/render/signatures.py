"""What a file is by its first bytes. A table; knows neither how to decode anything nor what the file is called."""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 64
"""How much of a file's beginning `looks_like` wants to see."""

_TABLE: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"BLENDER", "blend"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"\x76\x2f\x31\x01", "openexr"),
    (0, b"II*\x00", "tiff"),
    (0, b"MM\x00*", "tiff"),
    (0, b"II+\x00", "tiff"),
    (0, b"MM\x00+", "tiff"),
    (8, b"WEBP", "webp"),
    (0, b"BM", "bmp"),
    (0, b"#?RADIANCE", "hdr"),
    (0, b"#?RGBE", "hdr"),
    (0, b"SDPX", "dpx"),
    (0, b"XPDS", "dpx"),
    (0, b"\x80\x2a\x5f\xd7", "cineon"),
    (0, b"\xd7\x5f\x2a\x80", "cineon"),
    (0, b"\x01\xda", "sgi"),
    (0, b"GIF8", "gif"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!", "rar"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"%PDF", "pdf"),
    (0, b"\x7fELF", "elf"),
    (0, b"glTF", "glb"),
    (0, b"Kaydara FBX Binary", "fbx"),
    (0, b"Ogawa", "alembic"),
    (0, b"PXR-USDC", "usd"),
    (4, b"ftyp", "mp4"),
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
    (0, b"version https://git-lfs", "lfs"),
)

_NAMES: Final = {
    "blend": "a .blend file",
    "png": "a PNG image",
    "jpeg": "a JPEG image",
    "openexr": "an OpenEXR image",
    "tiff": "a TIFF image",
    "webp": "a WebP image",
    "bmp": "a BMP image",
    "hdr": "a Radiance HDR image",
    "dpx": "a DPX image",
    "cineon": "a Cineon image",
    "sgi": "an SGI image",
    "gif": "a GIF image",
    "zip": "a zip archive",
    "7z": "a 7-Zip archive",
    "rar": "a RAR archive",
    "gzip": "gzip-compressed data",
    "zstd": "zstd-compressed data",
    "bzip2": "bzip2-compressed data",
    "xz": "xz-compressed data",
    "pdf": "a PDF document",
    "elf": "a program",
    "glb": "a glTF scene",
    "fbx": "an FBX scene",
    "alembic": "an Alembic scene",
    "usd": "a USD scene",
    "mp4": "an MP4 video",
    "matroska": "a Matroska video",
    "lfs": "a Git LFS pointer instead of the file itself",
    "html": "an HTML page",
    "text": "plain text",
    "zeros": "nothing but zeros",
    "empty": "an empty file",
    "unknown": "data of an unknown kind",
}


def looks_like(head: bytes) -> str:
    """A short key for what the bytes look like: `png`, `zip`, `html`, `empty`, ... or `unknown`."""
    if not head:
        return "empty"
    for offset, magic, kind in _TABLE:
        if head[offset : offset + len(magic)] == magic:
            return kind
    if not head.strip(b"\x00"):
        return "zeros"
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")):
        return "html"
    return "text" if _is_text(head) else "unknown"


def described(kind: str) -> str:
    """The key of `looks_like`, for people: `png` is `a PNG image`."""
    return _NAMES.get(kind, _NAMES["unknown"])


def _is_text(head: bytes) -> bool:
    return all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head)
