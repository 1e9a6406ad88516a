"""What a frame must look like, known without asking the product, and what a file looks like: hashes of decoded pixels.

The null renderer's picture is drawn here from its description: text on a colour that the number of the frame decides. Frames
of Blender are compared with those that one Blender rendered beforehand (`film.py`).
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image, ImageDraw

SHADES = 64


def hash_of(picture: Image.Image) -> str:
    """SHA-256 over size, mode and every sample."""
    digest = hashlib.sha256(f"{picture.size}{picture.mode}".encode())
    digest.update(picture.tobytes())
    return digest.hexdigest()


def decoded(data: bytes) -> str:
    """The pixel hash of a PNG; a text that begins with `broken` when it does not decode to its end."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            picture.load()
            return hash_of(picture)
    except (OSError, SyntaxError, ValueError) as error:
        return f"broken: {error}"


def decoded_file(path: Path) -> str:
    """The same for a file."""
    try:
        return decoded(path.read_bytes())
    except OSError as error:
        return f"broken: {error}"


def null_picture(frame: int, size: tuple[int, int], scene: str = "null job") -> str:
    """The pixel hash of the null renderer's picture of a frame."""
    label = f"frame {frame}"
    shade = sum(map(ord, label)) % SHADES
    picture = Image.new("RGB", size, (32 + shade, 40, 96 - shade))
    pen = ImageDraw.Draw(picture)
    for y, text in zip((8, 24, 40), (scene, label, "NULL"), strict=True):
        pen.text((8, y), text, fill="white")
    return hash_of(picture)
