from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from peer.render.blendfile import BlendHeader, check_version, known_versions, parse_header, read_header
from protocol import limits
from protocol.errors import Invalid
from tests.fuzzing import changed, examples, texts
from tests.scenes import build as scenes

REAL = [pytest.param(home, marks=pytest.mark.blender) for home in ("bpy", "program")]


def legacy(*, pointers: bytes = b"-", endian: bytes = b"v", version: bytes = b"279", codes=(b"REND", b"DNA1", b"ENDB")) -> bytes:
    """A file of the legacy format with 100 bytes in each block but the last."""
    order, address = ("<" if endian == b"v" else ">"), ("Q" if pointers == b"-" else "I")
    out = b"BLENDER" + pointers + endian + version
    for code in codes:
        length = 0 if code == b"ENDB" else 100
        out += struct.pack(f"{order}4si{address}ii", code, length, 77, 0, 1) + bytes(length)
    return out


def modern(*, version: bytes = b"0500", block_format: bytes = b"01", length: int = 100) -> bytes:
    """A file of the format since 5.0."""
    out = b"BLENDER17-" + block_format + b"v" + version
    for code, size in ((b"REND", length), (b"DNA1", 100), (b"ENDB", 0)):
        out += struct.pack("<4siQqq", code, 0, 77, size, 1) + bytes(max(0, size))
    return out


def read(tmp_path: Path, data: bytes) -> BlendHeader:
    path = tmp_path / "it.blend"
    path.write_bytes(data)
    return read_header(path)


def refused(tmp_path: Path, data: bytes) -> Invalid:
    with pytest.raises(Invalid) as caught:
        read(tmp_path, data)
    return caught.value


@pytest.mark.parametrize("home", REAL)
def test_a_real_file_is_read_to_its_end(home, tmp_path):
    if home not in scenes.homes():
        scenes.any_home()
        pytest.skip(f"another home has a Blender here, {home} has none")
    header = read_header(scenes.build("quick", tmp_path, home))
    assert header.version >= (3, 0)
    assert header.pointer_bytes == 8
    assert header.little_endian
    assert header.block_format == (1 if header.version >= (5, 0) else 0)
    assert header.blocks > 100


@pytest.mark.parametrize("home", REAL)
def test_a_real_file_that_is_cut_anywhere_is_truncated(home, tmp_path):
    if home not in scenes.homes():
        scenes.any_home()
        pytest.skip(f"another home has a Blender here, {home} has none")
    whole = scenes.build("quick", tmp_path, home).read_bytes()
    for cut in (7, 11, 12, 16, 17, 30, len(whole) // 3, len(whole) - 33, len(whole) - 1):
        assert refused(tmp_path, whole[:cut]).code == "truncated_blend", cut


@pytest.mark.parametrize("home", REAL)
def test_a_real_file_reads_the_same_when_packed(home, tmp_path):
    if home not in scenes.homes():
        scenes.any_home()
        pytest.skip(f"another home has a Blender here, {home} has none")
    whole = scenes.build("quick", tmp_path, home).read_bytes()
    plain = read(tmp_path, whole)
    for packed, kind in ((gzip.compress(whole, 1), "gzip"), (zstandard.compress(whole), "zstd"), (in_frames(whole), "zstd")):
        header = read(tmp_path, packed)
        assert header.compressed == kind
        assert (header.version, header.blocks) == (plain.version, plain.blocks)
        for cut in (20, len(packed) // 2):
            assert refused(tmp_path, packed[:cut]).code == "truncated_blend"


def in_frames(data: bytes) -> bytes:
    """As Blender packs: many zstd frames, and a skippable one with the seek table at the end."""
    frames = [zstandard.compress(data[at : at + 65_536]) for at in range(0, len(data), 65_536)]
    return b"".join(frames) + struct.pack("<II", 0x184D2A5E, 9) + b"123456789"


@pytest.mark.parametrize("endian", [b"v", b"V"])
@pytest.mark.parametrize(("pointers", "size"), [(b"-", 8), (b"_", 4)])
def test_both_pointer_sizes_and_byte_orders_of_old_files(pointers, size, endian, tmp_path):
    header = read(tmp_path, legacy(pointers=pointers, endian=endian))
    assert header == BlendHeader((2, 79), "none", size, endian == b"v", 0, blocks=3)


def test_the_header_since_5_0(tmp_path):
    assert read(tmp_path, modern()) == BlendHeader((5, 0), "none", 8, True, 1, blocks=3)
    assert read(tmp_path, modern(version=b"1203")).version == (12, 3)


def test_a_block_format_of_the_future_is_not_walked(tmp_path):
    header = read(tmp_path, modern(version=b"0700", block_format=b"02")[:60])
    assert (header.version, header.blocks) == ((7, 0), 0)


def test_a_length_beyond_the_end_or_below_zero_is_damage(tmp_path):
    assert refused(tmp_path, modern(length=10)[:17] + struct.pack("<4siQqq", b"REND", 0, 7, 2**62, 1)).code == "truncated_blend"
    error = refused(tmp_path, modern(length=-5))
    assert error.code == "truncated_blend"
    assert "damaged" in error.message


def test_blocks_without_the_description_of_the_data(tmp_path):
    error = refused(tmp_path, legacy(codes=(b"REND", b"ENDB")))
    assert error.code == "truncated_blend"
    assert "DNA1" in error.message


def test_the_number_of_blocks_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "BLEND_BLOCKS_MAX", 5)
    assert refused(tmp_path, legacy(codes=(b"DATA",) * 9 + (b"DNA1", b"ENDB"))).code == "truncated_blend"


def test_what_a_packed_file_unpacks_to_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SCENE_BYTES_MAX", 50_000)
    bomb = modern(length=10_000_000)
    assert read(tmp_path, bomb).blocks == 3
    assert refused(tmp_path, zstandard.compress(bomb)).code == "truncated_blend"


def test_big_blocks_of_a_plain_file_are_skipped_and_not_read(tmp_path):
    path = tmp_path / "big.blend"
    size = 3 * 2**30
    with path.open("wb") as file:
        file.write(b"BLENDER17-01v0500" + struct.pack("<4siQqq", b"DATA", 0, 7, size, 1))
        file.seek(size, io.SEEK_CUR)
        file.write(struct.pack("<4siQqq", b"DNA1", 0, 7, 0, 1) + struct.pack("<4siQqq", b"ENDB", 0, 0, 0, 0))
    assert read_header(path).blocks == 3


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "an empty file"),
        (bytes(500), "nothing but zeros"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG image"),
        (b"PK\x03\x04" + bytes(99), "a zip archive"),
        (b"<!DOCTYPE html><title>Sign in</title>", "an HTML page"),
        (b"hello, this is my scene\n", "plain text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"\x00\x01\x02\x03\xff\xfe", "unknown kind"),
        (b"BLENDER-v3x4REND" + bytes(99), "a damaged .blend header"),
        (gzip.compress(b"hello " * 50), "gzip-compressed data with plain text inside"),
        (zstandard.compress(b"\x89PNG\r\n\x1a\n" + bytes(99)), "zstd-compressed data with a PNG image inside"),
    ],
)
def test_not_a_blend_says_what_it_looks_like(data, what, tmp_path):
    error = refused(tmp_path, data)
    assert error.code == "not_a_blend"
    assert what in error.message


def test_parse_header_is_none_for_anything_else():
    assert parse_header(b"BLENDER") is None
    assert parse_header(b"BLENDER*v300") is None
    found = parse_header(legacy())
    assert found is not None
    assert found[1] == 12


def test_newer_than_any_blender_here_names_both():
    header = BlendHeader((9, 9), "none", 8, True, 1)
    with pytest.raises(Invalid) as caught:
        check_version(header, [(5, 0), (3, 4), (3, 4)])
    assert caught.value.code == "blend_too_new"
    assert "9.9" in caught.value.message
    assert "(3.4, 5.0)" in caught.value.message


@pytest.mark.parametrize("known", [[], [(9, 9)], [(3, 4), (10, 0)]])
def test_a_blender_that_is_new_enough_or_none_at_all_is_no_reason(known):
    check_version(BlendHeader((9, 9), "none", 8, True, 1), known)


FILES = st.sampled_from([legacy(), legacy(pointers=b"_", endian=b"V"), modern(), modern(block_format=b"02")])
PACKED = st.sampled_from([lambda data: data, gzip.compress, zstandard.compress])


@examples(300)
@given(
    st.tuples(FILES.flatmap(changed), PACKED).map(lambda pair: pair[1](pair[0]))
    | st.tuples(FILES, PACKED).map(lambda pair: pair[1](pair[0])).flatmap(changed)
    | st.binary(max_size=80)
)
def test_any_file_has_a_header_or_is_refused_with_what_it_is(tmp_path: Path, data: bytes):
    try:
        header = read(tmp_path, data)
    except Invalid as error:
        assert error.code in ("not_a_blend", "truncated_blend")  # noqa: PT017 - both are right
        return
    assert header.pointer_bytes in (4, 8)
    assert 0 <= header.blocks <= limits.BLEND_BLOCKS_MAX


@given(st.lists(texts | st.sampled_from(["5.0.1", "4.2", "4.10.0 LTS", "5", "five", "٥.٠"])))
def test_versions_that_are_none_are_left_out(said: list[str]):
    versions = known_versions(said)
    assert versions == sorted(versions)
    assert known_versions([f"{major}.{minor}.0" for major, minor in versions]) == versions


def test_versions_are_compared_by_their_first_two_numbers():
    assert known_versions(["5.0.1", "4.10.0", "4.2", "five", "", "5.0.0"]) == [(4, 2), (4, 10), (5, 0)]
