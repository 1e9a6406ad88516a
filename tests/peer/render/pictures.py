"""Reading rendered pictures in tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from peer.render.blender import BlenderSession


def pixels(path: Path) -> tuple[tuple[int, int], bytes]:
    """Size and decoded bytes of an 8-bit picture; raises when it does not decode fully."""
    with Image.open(path) as image:
        image.load()
        return image.size, image.tobytes()


def nothing(_progress: float) -> None:
    """For a caller that does not care how far a frame is."""


def next_outbox(session: BlenderSession, monkeypatch: pytest.MonkeyPatch, *, prepare: Callable[[Path], Path | None]) -> None:
    """What the process writes into next is what `prepare` makes of its new folder: that one, or another."""
    make = session._process.outbox

    def made() -> Path:
        folder = make()
        return prepare(folder) or folder

    monkeypatch.setattr(session._process, "outbox", made)
