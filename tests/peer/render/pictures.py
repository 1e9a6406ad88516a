"""Reading rendered pictures in tests."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def pixels(path: Path) -> tuple[tuple[int, int], bytes]:
    """Size and decoded bytes of an 8-bit picture; raises when it does not decode fully."""
    with Image.open(path) as image:
        image.load()
        return image.size, image.tobytes()


def nothing(_progress: float) -> None:
    """For a caller that does not care how far a frame is."""
