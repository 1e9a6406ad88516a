"""Zips that hold a scene, and zips that nobody should send."""

from __future__ import annotations

import io
import os
import stat
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.web.scenezip import SceneZip, choose_main, is_small, open_zip
from protocol import limits
from protocol.errors import Invalid
from protocol.jobs.manifest import clean_name
from tests.fuzzing import changed, examples, refused
from tests.zips import LINK, Raw, raw_zip, zipped

SHOT = {"shot.blend": b"BLENDER-v405" + bytes(500), "textures/wood.png": b"wood" * 100, "empty.txt": b""}
BYTES_MAX = 10 * 2**20


def read(data: bytes, *, bytes_max: int = BYTES_MAX) -> dict[str, bytes]:
    """Everything in a zip. Raises `Invalid`."""
    archive = SceneZip(io.BytesIO(data), bytes_max=bytes_max)
    try:
        for _ in archive.check():
            pass
        return {member.name: b"".join(archive.pieces(member)) for member in archive.members}
    finally:
        archive.close()


def refusal(data: bytes, *, bytes_max: int = BYTES_MAX) -> tuple[str, str]:
    with pytest.raises(Invalid) as caught:
        read(data, bytes_max=bytes_max)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_come_out_as_they_went_in(method: int):
    large = {"big.exr": os.urandom(300_000)}
    assert read(zipped({**SHOT, **large}, method)) == {**SHOT, **large}
    assert read(zipped({})) == {}


def test_folders_and_what_a_mac_leaves_are_no_files():
    more = {"textures/": b"", "__MACOSX/._shot.blend": b"x", "textures/.DS_Store": b"x", "./": b""}
    assert read(zipped({**more, **SHOT})) == SHOT


def test_names_are_read_as_programs_write_them():
    plain = "maß/été.png".encode()
    assert read(raw_zip([Raw(plain)])) == {"maß/été.png": b""}
    assert read(raw_zip([Raw(plain, flags=0)])) == {"maß/été.png": b""}, "UTF-8 that does not say so, as Info-ZIP and macOS write"
    assert read(raw_zip([Raw("été.png".encode("cp437"), flags=0)])) == {"été.png": b""}
    assert read(raw_zip([Raw(b"textures\\", flags=0), Raw(b"textures\\a.png", b"x")])) == {"textures/a.png": b"x"}


def test_small_files_come_many_at_a_time_before_the_large_ones():
    files = {f"{number:04d}.vdb": b"%d" % number for number in range(limits.SMALL_FILES_MAX + 10)}
    archive = SceneZip(io.BytesIO(zipped({"big.exr": os.urandom(100_000), **files})), bytes_max=BYTES_MAX)
    first = archive.few(0)
    assert len(first) == limits.SMALL_FILES_MAX
    assert dict(first + archive.few(len(first))) == files
    assert [member.name for member in archive.members if not is_small(member)] == ["big.exr"] == [archive.members[-1].name]


@pytest.mark.parametrize(
    "name",
    [b"../up.png", b"a/../../b", b"/etc/passwd", b"C:\\x.png", b"C:/x.png", b"..\\x.png", b"\\\\host\\share\\x", b"a\0b.png",
     b"up/../"],
)  # fmt: skip
def test_names_that_lead_out_are_refused(name: bytes):
    assert refusal(raw_zip([Raw(b"shot.blend"), Raw(name)]))[0] == "bad_file_name"


@pytest.mark.parametrize(
    ("one", "two"),
    [("a.png", "a.png"), ("a.png", "./a.png"), ("Wood.png", "wood.PNG"), ("é.png", "e\u0301.png"), ("Maße", "MASSE"),
     ("a", "A/b"), ("t/a", "t\\a")],
)  # fmt: skip
def test_names_that_cannot_lie_side_by_side_are_refused(one: str, two: str):
    code, said = refusal(raw_zip([Raw(one.encode()), Raw(two.encode())]))
    assert code == "bad_manifest"
    assert clean_name(one) in said or clean_name(two) in said


@pytest.mark.parametrize(
    ("mode", "says"), [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "no plain file"), (stat.S_IFCHR, "no plain file")]
)
def test_links_and_devices_are_refused(mode: int, says: str):
    code, said = refusal(raw_zip([Raw(b"shot.blend"), Raw(b"tex/evil", b"/etc/passwd", attributes=mode << 16)]))
    assert (code, says in said, "tex/evil" in said) == ("bad_zip", True, True)


@pytest.mark.parametrize("flags", [0x1, 0x40, 0x2000])
def test_encrypted_files_are_refused(flags: int):
    code, said = refusal(raw_zip([Raw(b"shot.blend", b"x", flags=0x800 | flags)]))
    assert (code, "without a password" in said) == ("bad_zip", True)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 9, 93, 99])
def test_other_methods_are_refused_before_anything_is_unpacked(method: int):
    code, said = refusal(raw_zip([Raw(b"shot.blend", b"xyz", method=method)]))
    assert (code, f"method {method}" in said) == ("bad_zip", True)


GOOD = zipped(SHOT)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        b"BLENDER" * 100,
        GOOD[:-1],
        GOOD[:-30],
        GOOD[: len(GOOD) // 2],
        raw_zip([Raw(b"a.blend", b"x" * 100, crc=1)]),
        raw_zip([Raw(b"a.blend", b"x" * 100, said=101)]),
        raw_zip([Raw(b"a.blend", b"x" * 100, said=99)]),
        raw_zip([Raw(b"a.blend", b"x" * 100, local=5)]),
        raw_zip([Raw(b"a.blend", b"x" * 100, method=0, said=99)]),
        raw_zip([Raw(b"a.blend", b"x", packed=b"\xff\xff\xff\xff")]),
        raw_zip([Raw(b"a.blend", b"x" * 100, packed=b"")]),
        raw_zip([Raw(b"a.blend", b"x"), Raw(b"b.png", b"x", at=0)]),
        raw_zip([Raw(b"\xff.blend")]),
        raw_zip([Raw(b"a.blend", extra=b"\x01\x00\x08\x00")]),
        raw_zip([Raw(b"a.blend", b"x")], start=2**32 - 1),
    ],
)
def test_broken_zips_are_named_so(data: bytes):
    code, said = refusal(data)
    assert (code, "cannot be read from the zip" in said) == ("bad_zip", True)


def test_files_that_share_bytes_are_refused():
    """David Fifield's bomb: each file's bytes are the next one's header and bytes."""
    data = bytearray(raw_zip([Raw(b"a", b"x" * 1_000, method=0), Raw(b"b", b"y" * 100, method=0)]))
    inner = raw_zip([Raw(b"b", b"y" * 100, method=0)])[: 30 + 1 + 100]
    at = data.index(b"x" * 1_000)
    data[at : at + len(inner)] = inner
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 42 : entry + 46] = at.to_bytes(4, "little")
    code, said = refusal(bytes(data))
    assert (code, "overlap" in said) == ("bad_zip", True)


def test_bombs_are_seen_by_their_directory(monkeypatch: pytest.MonkeyPatch):
    bomb = zipped({"shot.blend": bytes(2**20)})
    assert refusal(bomb, bytes_max=2**20 - 1)[0] == "zip_too_large"
    assert len(read(bomb)["shot.blend"]) == 2**20
    monkeypatch.setattr(limits, "ZIP_TRUSTED_BYTES", 2**19)
    code, said = refusal(bomb)
    assert (code, "times its length" in said) == ("zip_too_large", True)


def test_a_file_that_says_it_is_small_unpacks_to_no_more():
    bomb = Raw(b"shot.blend", bytes(50 * 2**20), said=10)
    data = raw_zip([bomb])
    tracemalloc.start()
    try:
        assert refusal(data)[0] == "bad_zip"
        assert tracemalloc.get_traced_memory()[1] < 5 * 2**20
    finally:
        tracemalloc.stop()


def test_too_many_files_are_refused_before_they_are_looked_at(monkeypatch: pytest.MonkeyPatch):
    many = raw_zip([Raw(b"%d" % number) for number in range(50)])
    monkeypatch.setattr(limits, "FILES_PER_MANIFEST_MAX", 49)
    assert refusal(many)[0] == "zip_too_large"
    crowd = raw_zip([Raw(b"%d" % number) for number in range(limits.ZIP_MEMBERS_MAX + 1)])
    code, said = refusal(crowd)
    assert (code, f"{limits.ZIP_MEMBERS_MAX:,}" in said) == ("zip_too_large", True)
    monkeypatch.setattr(limits, "ZIP_DIRECTORY_BYTES_MAX", 1_000)
    assert refusal(many)[0] == "zip_too_large"


def is_blend(name: str) -> bool:
    return name.endswith(".blend")


def test_the_scene_is_the_one_that_is_named_or_the_only_one():
    assert choose_main(["a/b.blend", "c.png", "b.blend1"], None, is_blend) == "a/b.blend"
    assert choose_main(["a/b.blend", "c.blend"], "c.blend", is_blend) == "c.blend"
    for names, wanted, code, says in (
        (["a.png"], None, "no_scene", "no scene in it"),
        (["b.blend", "a/b.blend"], None, "several_scenes", "main=NAME: a/b.blend, b.blend"),
        (["b.blend"], "c.blend", "no_such_main", "its scenes are: b.blend"),
        ([], "c.blend", "no_such_main", "its scenes are: none"),
    ):
        with pytest.raises(Invalid) as caught:
            choose_main(names, wanted, is_blend)
        assert (caught.value.code, says in caught.value.message) == (code, True), caught.value.message


def test_a_zip_that_was_closed_gives_nothing_more(tmp_path: Path):
    (tmp_path / "a.zip").write_bytes(GOOD)
    archive = open_zip(tmp_path / "a.zip", bytes_max=BYTES_MAX)
    pieces = archive.pieces(archive.members[0])
    next(pieces)
    archive.close()
    archive.close()
    assert refused(next, pieces, by=Invalid) is not None
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04")
    assert refused(lambda: open_zip(tmp_path / "a.zip", bytes_max=1), by=Invalid) is not None


PIECES = [
    GOOD,
    zipped({"a/b.blend": b"x" * 3_000, "a/c/d.png": b"y"}, zipfile.ZIP_STORED),
    raw_zip([Raw(b"a.blend", b"x" * 50), Raw(b"link", b"a.blend", attributes=LINK), Raw(b"../x", b"y", flags=0)]),
]
MEMBERS = st.builds(
    Raw,
    name=st.sampled_from([b"a.blend", b"a", b"a/b", b"A", b"../x", b"C:\\x", b"\xff", b""]) | st.binary(max_size=8),
    data=st.binary(max_size=40),
    method=st.sampled_from([0, 8, 8, 8, 9, 12, 14, 99]),
    flags=st.sampled_from([0, 0x800, 0x800, 1, 8, 0x20, 0x40, 0xFFFF]),
    attributes=st.sampled_from([0, 0, LINK, 0xFFFFFFFF, 16]),
    said=st.none() | st.sampled_from([0, 1, 2**31, 2**32 - 1]),
    local=st.none() | st.integers(0, 100),
    crc=st.none() | st.integers(0, 2**32 - 1),
    at=st.none() | st.just(0),
    packed=st.none() | st.binary(max_size=20),
    extra=st.sampled_from([b"", b"\x01\x00\x08\x00" + b"\xff" * 8, b"\x01\x00\x00\x00", b"\x01\x00\x18\x00" + b"\xff" * 24]),
)
ANY_ZIP = st.one_of(
    st.sampled_from(PIECES).flatmap(changed),
    st.builds(raw_zip, st.lists(MEMBERS, max_size=4), start=st.none() | st.integers(0, 2**32 - 1)),
    st.binary(max_size=60).map(lambda data: b"PK\x03\x04" + data),
)


@examples(600)
@given(ANY_ZIP)
def test_any_bytes_are_a_scene_s_files_or_refused(data: bytes):
    found: dict[str, bytes] = {}
    error = refused(lambda: found.update(read(data)), by=Invalid)
    assert error is None or error.code in ("bad_zip", "zip_too_large", "bad_file_name", "bad_manifest")
    assert all(clean_name(name) == name for name in found)
    assert sum(map(len, found.values())) <= BYTES_MAX
