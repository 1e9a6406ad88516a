"""Writes real image files for the tests, with the decoder's own library."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import OpenImageIO as oiio

SIZE = (32, 18)


def samples(channels: int, *, seed: int = 1, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Random values from 0 to 1, as rows x columns x channels."""
    return np.random.default_rng(seed).random((size[1], size[0], channels), dtype=np.float32)


def write(path: Path, pixels: np.ndarray, kind: str, *, tile: int = 0, **attributes: str | int) -> Path:
    """One part. Floats from 0 to 1 are stored as `kind`: uint8, uint16, half or float."""
    out = oiio.ImageOutput.create(str(path))
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], kind)
    if tile > 0:
        spec.tile_width = spec.tile_height = tile
    for name, value in attributes.items():
        spec.attribute(name, value)
    assert out.open(str(path), spec), out.geterror()
    assert out.write_image(pixels), out.geterror()
    assert out.close()
    return path


def write_parts(path: Path, parts: dict[str, np.ndarray]) -> Path:
    """An OpenEXR file of several parts, as Blender 5 writes its layers."""
    specs = []
    for name, pixels in parts.items():
        spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], "float")
        spec.attribute("oiio:subimagename", name)
        spec.channelnames = tuple(f"{name}.{letter}" for letter in "RGBA"[: pixels.shape[2]])
        specs.append(spec)
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), specs), out.geterror()
    for index, (spec, pixels) in enumerate(zip(specs, parts.values(), strict=True)):
        assert index == 0 or out.open(str(path), spec, "AppendSubimage"), out.geterror()
        assert out.write_image(pixels), out.geterror()
    assert out.close()
    return path


def png_bomb(path: Path, width: int, height: int) -> Path:
    """A small PNG that declares many pixels and brings the zeros for some of them."""
    data = zlib.compress(bytes(50_000_000), 9)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path
