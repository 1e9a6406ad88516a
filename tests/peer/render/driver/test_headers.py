from __future__ import annotations

import struct

import pytest
from PIL import Image

from peer.render.driver.headers import measure

KINDS = {"PNG": ("L", "RGB", "RGBA"), "JPEG": ("L", "RGB"), "TIFF": ("L", "RGB", "RGBA"), "WEBP": ("RGB", "RGBA")}
CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in KINDS.items() for mode in modes])
def test_measures_what_another_program_wrote(tmp_path, kind, mode):
    path = tmp_path / "picture"
    Image.new(mode, (37, 21)).save(path, kind)
    assert measure(path) == (37, 21, CHANNELS[mode])


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("RGBA", 4)])
def test_measures_lossless_webp(tmp_path, mode, channels):
    path = tmp_path / "picture"
    Image.new(mode, (37, 21), (1, 2, 3, 4)[: len(mode)]).save(path, "WEBP", lossless=True)
    assert measure(path) == (37, 21, channels)


def exr(*, window: tuple[int, int, int, int], channels: tuple[str, ...]) -> bytes:
    listed = b"".join(name.encode() + b"\0" + bytes(16) for name in channels) + b"\0"
    box = struct.pack("<4i", *window)
    rows = ((b"channels", b"chlist", listed), (b"dataWindow", b"box2i", box))
    body = b"".join(name + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value for name, kind, value in rows)
    return b"\x76\x2f\x31\x01\x02\0\0\0" + body + b"\0"


def test_measures_an_exr_by_its_data_window(tmp_path):
    path = tmp_path / "picture.exr"
    path.write_bytes(exr(window=(3, 4, 12, 8), channels=("A", "B", "G", "R", "Depth.Z")))
    assert measure(path) == (10, 5, 5)


@pytest.mark.parametrize("cut", [4, 9, 20, 40])
def test_a_truncated_header_is_no_measure(tmp_path, cut):
    path = tmp_path / "picture.exr"
    path.write_bytes(exr(window=(0, 0, 1, 1), channels=("R",))[:cut])
    assert measure(path) is None


def test_other_bytes_are_no_measure(tmp_path):
    path = tmp_path / "picture.png"
    path.write_text("not a picture at all")
    assert measure(path) is None
