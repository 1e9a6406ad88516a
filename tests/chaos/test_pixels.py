"""The pictures that are expected are those that the null renderer draws, and hashes tell pixels apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from peer.render.null import draw
from tests.chaos.pixels import decoded, decoded_file, null_picture


@pytest.mark.parametrize(("frame", "size"), [(1, (64, 48)), (79, (160, 96)), (12, (320, 180))])
def test_the_null_renderer_draws_what_is_expected(frame: int, size: tuple[int, int], tmp_path: Path):
    path = tmp_path / "frame.png"
    draw(path, size, ["null job", f"frame {frame}", "NULL"])
    assert decoded_file(path) == null_picture(frame, size)


def test_frames_and_sizes_differ():
    pictures = {null_picture(frame, size) for frame in range(1, 81) for size in ((64, 48), (72, 48))}
    assert len(pictures) == 160


def test_what_does_not_decode_is_broken(tmp_path: Path):
    path = tmp_path / "frame.png"
    Image.effect_noise((64, 64), 50).save(path)
    whole = path.read_bytes()
    assert not decoded(whole).startswith("broken")
    for wrong in (whole[: len(whole) // 2], b"", b"no picture", bytes(len(whole))):
        assert decoded(wrong).startswith("broken: ")
    assert decoded_file(tmp_path / "nothing").startswith("broken: ")
