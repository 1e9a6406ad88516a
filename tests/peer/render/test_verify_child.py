from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from blake3 import blake3

from peer.render.verify_child import Expected, Fault, compare, examine, pixel_hash
from protocol import limits
from tests.peer.render.images import SIZE, png_bomb, samples, write, write_parts

FILES = [
    ("a.png", "uint8", 4, "PNG"),
    ("a16.png", "uint16", 3, "PNG"),
    ("grey.png", "uint8", 1, "PNG"),
    ("a.jpg", "uint8", 3, "JPEG"),
    ("a.tif", "uint8", 3, "TIFF"),
    ("a16.tif", "uint16", 4, "TIFF"),
    ("a.webp", "uint8", 4, "WEBP"),
    ("half.exr", "half", 4, "OPEN_EXR"),
    ("float.exr", "float", 4, "OPEN_EXR"),
    ("a.bmp", "uint8", 3, "BMP"),
    ("a.tga", "uint8", 4, "TARGA"),
    ("a.hdr", "float", 3, "HDR"),
    ("a.dpx", "uint16", 3, "DPX"),
]


def by_hand(kind: str, dtype: str, pixels: np.ndarray, names: str = "RGBA") -> str:
    """The hash of one unnamed part, from the text of the module alone."""
    height, width, channels = pixels.shape
    window = [0, 0, width, height]
    fields = {"channels": [[name, kind] for name in names[:channels]], "data": window, "display": window, "name": ""}
    header = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    return blake3(len(header).to_bytes(4, "little") + header + pixels.astype(dtype).tobytes()).hexdigest()


@pytest.mark.parametrize(("name", "kind", "channels", "reported"), FILES)
def test_every_format_decodes_and_is_what_was_reported(name, kind, channels, reported, tmp_path):
    path = write(tmp_path / name, samples(channels), kind)
    found = examine(path, Expected(*SIZE, channels, reported))
    assert found.pixel_hash == pixel_hash(path)
    assert found.nans == 0
    assert len(found.parts) == 1


@pytest.mark.parametrize(("name", "kind", "channels", "reported"), FILES[:9])
def test_a_file_that_is_cut_anywhere_does_not_pass(name, kind, channels, reported, tmp_path):
    path = write(tmp_path / name, samples(channels), kind)
    whole = path.read_bytes()
    for cut in (1, 20, len(whole) // 3, len(whole) // 2, len(whole) - 12, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(Fault):
            examine(path, Expected(*SIZE, channels, reported))


@pytest.mark.parametrize(("name", "kind", "channels", "reported"), [row for row in FILES if row[3] in ("PNG", "OPEN_EXR")])
def test_flipped_bytes_in_the_middle_do_not_pass_unseen(name, kind, channels, reported, tmp_path):
    path = write(tmp_path / name, samples(channels), kind)
    whole = bytearray(path.read_bytes())
    before = pixel_hash(path)
    middle = len(whole) // 2
    whole[middle : middle + 4] = bytes(byte ^ 0xFF for byte in whole[middle : middle + 4])
    path.write_bytes(whole)
    with contextlib.suppress(Fault):
        assert pixel_hash(path) != before


def test_the_hash_is_the_documented_one_at_8_bits(tmp_path):
    eight = (samples(4) * 255).astype("u1")
    path = write(tmp_path / "a.png", eight, "uint8", **{"oiio:UnassociatedAlpha": 1})
    assert pixel_hash(path) == by_hand("uint8", "u1", eight)


def test_the_hash_is_the_documented_one_at_16_bits(tmp_path):
    sixteen = (samples(3) * 65_535).astype("u2")
    assert pixel_hash(write(tmp_path / "a.png", sixteen, "uint16")) == by_hand("uint16", "<u2", sixteen)


def test_the_hash_is_the_documented_one_for_halves(tmp_path):
    halves = samples(4).astype(np.float16)
    assert pixel_hash(write(tmp_path / "a.exr", halves.astype("f4"), "half")) == by_hand("half", "<f2", halves)


def test_channels_of_two_depths_are_hashed_each_at_its_own(tmp_path):
    path, pixels = tmp_path / "a.exr", samples(5)
    spec = oiio.ImageSpec(*SIZE, 5, "float")
    spec.channelformats, spec.channelnames = (oiio.HALF,) * 4 + (oiio.FLOAT,), ("R", "G", "B", "A", "Z")
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec)
    assert out.write_image(pixels)
    out.close()
    window = [0, 0, *SIZE]
    names = [["R", "half"], ["G", "half"], ["B", "half"], ["A", "half"], ["Z", "float"]]
    header = json.dumps({"channels": names, "data": window, "display": window, "name": ""}, separators=(",", ":")).encode()
    body = pixels[:, :, :4].astype("<f2").tobytes() + pixels[:, :, 4:].astype("<f4").tobytes()
    assert pixel_hash(path) == blake3(len(header).to_bytes(4, "little") + header + body).hexdigest()


def test_compression_metadata_and_tiles_leave_no_trace(tmp_path):
    pixels = samples(4, size=(100, 70))
    plain = write(tmp_path / "a.exr", pixels, "float", compression="none")
    packed = write(tmp_path / "b.exr", pixels, "float", compression="zip", DateTime="2001:01:01 00:00:00", host="there")
    tiled = write(tmp_path / "c.exr", pixels, "float", tile=16)
    assert plain.read_bytes() != packed.read_bytes()
    assert pixel_hash(plain) == pixel_hash(packed) == pixel_hash(tiled)


def test_reading_in_small_pieces_changes_nothing(tmp_path, monkeypatch):
    paths = [
        write(tmp_path / name, samples(4, size=(50, 700)), "half", tile=tile) for name, tile in (("a.exr", 0), ("b.exr", 16))
    ]
    before = [pixel_hash(path) for path in paths]
    monkeypatch.setattr(limits, "VERIFY_CHUNK_BYTES", 1)
    assert [pixel_hash(path) for path in paths] == before


def test_one_bit_of_one_pixel_is_another_hash(tmp_path):
    pixels = (samples(3) * 65_535).astype("u2")
    before = pixel_hash(write(tmp_path / "a.png", pixels, "uint16"))
    pixels[-1, -1, 2] ^= 1
    assert pixel_hash(write(tmp_path / "b.png", pixels, "uint16")) != before


def test_colour_under_full_transparency_counts(tmp_path):
    clear = np.zeros((18, 32, 4), dtype="u1")
    tinted = clear.copy()
    tinted[:, :, 0] = 200
    stored = {"oiio:UnassociatedAlpha": 1}
    assert pixel_hash(write(tmp_path / "a.png", clear, "uint8", **stored)) != pixel_hash(
        write(tmp_path / "b.png", tinted, "uint8", **stored)
    )


def test_all_parts_count_with_their_names_and_order(tmp_path):
    combined, depth = samples(4), samples(1, seed=2)
    path = write_parts(tmp_path / "a.exr", {"Combined": combined, "Depth": depth})
    found = examine(path, Expected(*SIZE, 4, "OPEN_EXR_MULTILAYER"))
    assert [part.name for part in found.parts] == ["Combined", "Depth"]
    assert examine(path, Expected(*SIZE, 5, "OPEN_EXR_MULTILAYER")) == found
    others = (
        {"Combined": combined, "Depth": samples(1, seed=3)},
        {"Combined": combined, "Mist": depth},
        {"Depth": depth, "Combined": combined},
        {"Combined": combined},
    )
    hashes = {pixel_hash(write_parts(tmp_path / f"{index}.exr", parts)) for index, parts in enumerate(others)}
    assert len(hashes | {found.pixel_hash}) == 5


def test_nans_are_counted_in_every_part(tmp_path):
    combined, depth = samples(4), samples(1)
    combined[3, 5, 1] = combined[0, 0, 0] = depth[17, 31, 0] = np.nan
    depth[0, 0, 0] = np.inf
    assert examine(write_parts(tmp_path / "a.exr", {"Combined": combined, "Depth": depth})).nans == 3
    assert examine(write(tmp_path / "h.exr", combined, "half")).nans == 2


def test_all_black_is_a_picture(tmp_path):
    path = write(tmp_path / "a.png", np.zeros((18, 32, 3), dtype="u1"), "uint8")
    assert examine(path, Expected(*SIZE, 3, "PNG")).nans == 0


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (Expected(33, 18, 4, "PNG"), "is 32x18 pixels, not 33x18 as reported"),
        (Expected(32, 17, 4, "PNG"), "is 32x18 pixels, not 32x17 as reported"),
        (Expected(32, 18, 3, "PNG"), "has 4 channels, not 3 as reported"),
        (Expected(32, 18, 4, "JPEG"), "is a PNG image, not JPEG as reported"),
        (Expected(32, 18, 4, "OPEN_EXR"), "is a PNG image, not OPEN_EXR as reported"),
        (Expected(32, 18, 4, "TARGA"), "is a PNG image, not TARGA as reported"),
        (Expected(32, 18, 4, "FFMPEG"), "FFMPEG, which cannot be verified here"),
    ],
)
def test_what_differs_from_the_report_is_named(expected, text, tmp_path):
    path = write(tmp_path / "a.png", samples(4), "uint8")
    with pytest.raises(Fault, match=text):
        examine(path, expected)


def test_what_was_not_reported_is_not_compared(tmp_path):
    path = write(tmp_path / "a.png", samples(4), "uint8")
    assert examine(path, Expected()).format == examine(path, Expected(width=32)).format == "png"


def test_a_picture_of_another_kind_under_the_right_name(tmp_path):
    path = write(tmp_path / "a.jpg", samples(3), "uint8").rename(tmp_path / "a.png")
    with pytest.raises(Fault, match="is a JPEG image, not PNG as reported"):
        examine(path, Expected(*SIZE, 3, "PNG"))


def test_a_blob_without_a_suffix_has_the_same_hash(tmp_path):
    path = write(tmp_path / "a.exr", samples(4), "half")
    assert pixel_hash(path) == pixel_hash(path.rename(tmp_path / "0badcafe"))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"no picture at all " * 20, "is plain text, not PNG"),
        (os.urandom(4) + bytes(range(200, 256)) * 9, "not PNG as reported"),
        (b"\x89PNG\r\n\x1a\n" + bytes(300), "truncated"),
        (b"\x89PNG\r\n\x1a\n" + bytes(300) + b"\x00\x00\x00\x00IEND\xae\x42\x60\x82", "cannot be decoded"),
    ],
)
def test_garbage(data, text, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(Fault, match=text):
        examine(path, Expected(*SIZE, 3, "PNG"))


def test_only_regular_files_that_exist(tmp_path):
    real = write(tmp_path / "a.png", samples(3), "uint8")
    (tmp_path / "link.png").symlink_to(real)
    for name, text in (("none.png", "does not exist"), ("link.png", "not a regular file"), (".", "not a regular file")):
        with pytest.raises(Fault, match=text):
            examine(tmp_path / name)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = png_bomb(tmp_path / "a.png", 60_000, 60_000)
    with pytest.raises(Fault, match=r"declares 60000x60000 pixels, more than an image may have|cannot be decoded"):
        examine(path, Expected(60_000, 60_000, 3, "PNG"))


def test_parts_and_channels_are_bounded(tmp_path, monkeypatch):
    path = write_parts(tmp_path / "a.exr", {"A": samples(4), "B": samples(4), "C": samples(4)})
    monkeypatch.setattr(limits, "IMAGE_PARTS_MAX", 2)
    with pytest.raises(Fault, match="more than 2 parts"):
        examine(path)
    monkeypatch.setattr(limits, "IMAGE_PARTS_MAX", 3)
    monkeypatch.setattr(limits, "IMAGE_CHANNELS_MAX", 11)
    with pytest.raises(Fault, match="more than 11 channels"):
        examine(path)


def test_a_border_render_may_store_only_its_border(tmp_path):
    path = tmp_path / "a.exr"
    spec = oiio.ImageSpec(*SIZE, 4, "float")
    spec.x, spec.y, spec.full_width, spec.full_height = 10, 20, 320, 180
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec)
    assert out.write_image(samples(4))
    out.close()
    found = examine(path, Expected(320, 180, 4, "OPEN_EXR"))
    assert found.parts[0].data == (10, 20, *SIZE)
    assert examine(path, Expected(*SIZE, 4, "OPEN_EXR")) == found
    assert found.pixel_hash != pixel_hash(write(tmp_path / "b.exr", samples(4), "float"))


def off(path: Path, pixels: np.ndarray, by: float, *, count: int, kind: str) -> Path:
    """The same picture with `count` samples moved by so much."""
    moved = pixels.copy().reshape(-1)
    moved[:count] = np.where(moved[:count] > 0.5, moved[:count] - by, moved[:count] + by)
    return write(path, moved.reshape(pixels.shape), kind)


@pytest.mark.parametrize(("name", "kind"), [("p.png", "uint8"), ("p.exr", "float"), ("p.exr", "half")])
def test_pictures_a_step_apart_agree_and_those_further_apart_do_not(tmp_path: Path, name: str, kind: str):
    pixels = samples(3)
    one = write(tmp_path / f"one-{name}", pixels, kind)
    near = off(tmp_path / f"near-{name}", pixels, 1 / 255, count=pixels.size, kind=kind)
    far = off(tmp_path / f"far-{name}", pixels, 8 / 255, count=1, kind=kind)
    assert compare(str(one), str(near), 0.0).agree
    apart = compare(str(one), str(far), 0.0)
    assert not apart.agree
    assert apart.apart == pytest.approx(1 / pixels.size)
    assert apart.farthest == pytest.approx(8 / 255, abs=2 / 255)
    assert compare(str(one), str(far), 0.001).agree  # one in 1,728


def test_bright_samples_are_compared_in_proportion_and_a_lone_nan_is_a_difference(tmp_path: Path):
    pixels = samples(3) * 1000
    one = write(tmp_path / "one.exr", pixels, "float")
    assert compare(str(one), str(write(tmp_path / "near.exr", pixels * 1.001, "float")), 0.0).agree
    assert not compare(str(one), str(write(tmp_path / "far.exr", pixels * 1.1, "float")), 0.0).agree
    holed = pixels.copy()
    holed[0, 0, 0] = np.nan
    nan = write(tmp_path / "nan.exr", holed, "float")
    assert compare(str(nan), str(nan), 0.0).agree
    assert not compare(str(one), str(nan), 0.0).agree


def test_pictures_of_different_make_are_different(tmp_path: Path):
    one = write(tmp_path / "one.png", samples(3), "uint8")
    for other in (samples(4), samples(3, size=(SIZE[0] + 1, SIZE[1]))):
        found = compare(str(one), str(write(tmp_path / "other.png", other, "uint8")), 1.0)
        assert not found.agree
        assert found.farthest == float("inf")
    parts = {"a": samples(3), "b": samples(3, seed=2)}
    whole = write_parts(tmp_path / "whole.exr", parts)
    assert compare(str(whole), str(whole), 0.0).agree
    assert not compare(str(whole), str(write_parts(tmp_path / "less.exr", {"a": parts["a"]})), 1.0).agree
