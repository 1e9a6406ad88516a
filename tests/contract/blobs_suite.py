"""What every `Blobs` promises. Subclass, and give a fixture `blobs`."""

from __future__ import annotations

import os
from pathlib import Path

import blake3
import pytest

from peer.ports import Blobs, Corrupt
from protocol import limits
from protocol.errors import Invalid, NotFound
from protocol.ids import Digest
from protocol.jobs.manifest import EMPTY, Manifest, ManifestEntry, make_manifest

LARGE = bytes(range(256)) * 4096 + b"tail"  # four pieces and a bit


def digest_of(data: bytes) -> Digest:
    return Digest(blake3.blake3(data).hexdigest())


async def put(blobs: Blobs, data: bytes) -> Digest:
    writer = await blobs.writer()
    for at in range(0, len(data), 100_000):
        await writer.write(data[at : at + 100_000])
    digest, size = await writer.finish()
    assert size == len(data)
    return digest


async def got(blobs: Blobs, digest: Digest, *, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in blobs.read(digest, start=start, end=end)])


def entry(name: str, data: bytes) -> ManifestEntry:
    return ManifestEntry(name, digest_of(data), len(data))


class BlobsSuite:
    @pytest.mark.parametrize("data", [b"", b"x", LARGE])
    async def test_what_was_written_is_read_back(self, blobs: Blobs, data: bytes):
        digest = await put(blobs, data)
        assert digest == digest_of(data)
        assert await blobs.has(digest)
        assert await blobs.size(digest) == len(data)
        assert await got(blobs, digest) == data

    async def test_many_small_files_are_taken_at_once(self, blobs: Blobs):
        held = await put(blobs, b"here before")
        contents = [b"", b"here before", *(b"%d" % number for number in range(600)), b"7"]
        taken = await blobs.take_many(contents)
        assert taken == [(digest_of(data), len(data)) for data in contents]
        assert held == taken[1][0]
        for digest, data in zip([digest for digest, _ in taken], contents, strict=True):
            assert await got(blobs, digest) == data
        assert await blobs.take_many([]) == []

    async def test_those_that_are_not_here_are_missing_in_order(self, blobs: Blobs):
        here, gone, other = await put(blobs, b"here"), digest_of(b"gone"), digest_of(b"other")
        assert await blobs.missing([other, here, gone, other]) == [other, gone, other]
        assert await blobs.missing([]) == []

    async def test_a_blob_that_is_not_here(self, blobs: Blobs):
        digest = digest_of(b"nowhere")
        assert not await blobs.has(digest)
        assert await blobs.size(digest) is None
        assert await blobs.path(digest) is None
        with pytest.raises(NotFound) as caught:
            await got(blobs, digest)
        assert caught.value.code == "no_such_blob"

    @pytest.mark.parametrize(
        ("start", "end"),
        [(0, 1), (5, 5), (1, None), (limits.BLOB_CHUNK_BYTES - 1, limits.BLOB_CHUNK_BYTES + 1), (7, 2**40), (2**40, None)],
    )
    async def test_a_range(self, blobs: Blobs, start: int, end: int | None):
        digest = await put(blobs, LARGE)
        assert await got(blobs, digest, start=start, end=end) == LARGE[start:end]

    @pytest.mark.parametrize(("start", "end"), [(-1, None), (5, 4), (0, -1)])
    async def test_an_impossible_range(self, blobs: Blobs, start: int, end: int | None):
        digest = await put(blobs, LARGE)
        with pytest.raises(Invalid) as caught:
            await got(blobs, digest, start=start, end=end)
        assert caught.value.code == "bad_range"

    async def test_pieces_are_no_larger_than_the_limit(self, blobs: Blobs):
        digest = await put(blobs, LARGE)
        sizes = [len(piece) async for piece in blobs.read(digest)]
        assert max(sizes) == limits.BLOB_CHUNK_BYTES

    async def test_wrong_bytes_are_corrupt_and_dropped(self, blobs: Blobs):
        expected = digest_of(b"right")
        writer = await blobs.writer(expected, size=5)
        await writer.write(b"wrong")
        with pytest.raises(Corrupt):
            await writer.finish()
        assert not await blobs.has(expected)
        again = await blobs.writer(expected, size=5)
        assert again.offset == 0
        await again.write(b"right")
        assert await again.finish() == (expected, 5)

    async def test_more_or_fewer_bytes_than_announced_are_corrupt(self, blobs: Blobs):
        writer = await blobs.writer(size=3)
        with pytest.raises(Corrupt):
            await writer.write(b"four")
        short = await blobs.writer(size=3)
        await short.write(b"12")
        with pytest.raises(Corrupt):
            await short.finish()

    async def test_a_kept_partial_is_resumed(self, blobs: Blobs):
        expected = digest_of(LARGE)
        writer = await blobs.writer(expected, size=len(LARGE))
        await writer.write(LARGE[:300_000])
        await writer.abort(keep=True)
        again = await blobs.writer(expected, size=len(LARGE))
        assert again.offset == 300_000
        await again.write(LARGE[again.offset :])
        assert await again.finish() == (expected, len(LARGE))
        assert await got(blobs, expected) == LARGE

    async def test_a_partial_that_is_not_kept_begins_again(self, blobs: Blobs):
        expected = digest_of(LARGE)
        writer = await blobs.writer(expected)
        await writer.write(LARGE[:300_000])
        await writer.abort(keep=False)
        again = await blobs.writer(expected)
        assert again.offset == 0
        await again.abort(keep=False)

    async def test_a_transfer_that_has_ended_takes_nothing_more(self, blobs: Blobs):
        writer = await blobs.writer()
        await writer.write(b"abc")
        await writer.finish()
        with pytest.raises(ValueError, match="ended"):
            await writer.write(b"d")
        await writer.abort(keep=True)
        assert await blobs.has(digest_of(b"abc"))

    @pytest.mark.parametrize("data", [b"", b"zip", LARGE])
    async def test_a_transfer_can_be_read_before_it_ends_and_leaves_nothing(self, blobs: Blobs, data: bytes):
        writer = await blobs.writer()
        for at in range(0, len(data), 100_000):
            await writer.write(data[at : at + 100_000])
        path = writer.path
        assert path.read_bytes() == data
        await writer.abort(keep=False)
        assert not path.exists()
        assert not await blobs.has(digest_of(data))

    async def test_two_transfers_of_one_blob_both_end_well(self, blobs: Blobs):
        expected = digest_of(b"twice")
        first, second = await blobs.writer(expected), await blobs.writer(expected)
        await first.write(b"twi")
        await second.write(b"twice")
        await first.write(b"ce")
        assert await first.finish() == await second.finish() == (expected, 5)

    @pytest.mark.parametrize("name", ["", "../../etc/passwd", "AB" * 32, "ab" * 31])
    async def test_a_digest_that_is_none_is_refused(self, blobs: Blobs, name: str):
        with pytest.raises(Invalid) as caught:
            await blobs.writer(Digest(name))
        assert caught.value.code == "bad_digest"

    async def test_the_path_holds_the_bytes_and_is_read_only(self, blobs: Blobs):
        path = await blobs.path(await put(blobs, b"here"))
        assert path is not None
        assert path.read_bytes() == b"here"
        assert path.stat().st_mode & 0o222 == 0

    async def test_a_finished_file_is_adopted(self, blobs: Blobs, tmp_path: Path):
        finished = tmp_path / "frame.png"
        finished.write_bytes(LARGE)
        assert await blobs.adopt(finished) == (digest_of(LARGE), len(LARGE))
        assert await blobs.adopt(finished) == (digest_of(LARGE), len(LARGE))
        assert await got(blobs, digest_of(LARGE)) == LARGE

    async def test_only_regular_files_are_adopted(self, blobs: Blobs, tmp_path: Path):
        (tmp_path / "real").write_bytes(b"not yours")
        (tmp_path / "link").symlink_to(tmp_path / "real")
        os.mkfifo(tmp_path / "pipe")
        for name in ("link", "pipe", "."):
            with pytest.raises(ValueError, match="regular"):
                await blobs.adopt(tmp_path / name)
        with pytest.raises(FileNotFoundError):
            await blobs.adopt(tmp_path / "nothing")

    async def test_a_scene_is_laid_out_under_its_names(self, blobs: Blobs):
        for data in (b"scene", b"wood", b""):
            await put(blobs, data)
        files = [
            entry("a/b/shot.blend", b"scene"),
            entry("a/b/tex/wood.png", b"wood"),
            entry("tex/same.png", b"wood"),
            entry("empty", b""),
        ]
        manifest = make_manifest("a/b/shot.blend", files)
        tree = await blobs.materialise(manifest)
        assert await blobs.materialise(manifest) == tree
        found = {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
        assert found == {"a/b/shot.blend": b"scene", "a/b/tex/wood.png": b"wood", "tex/same.png": b"wood", "empty": b""}
        assert all(path.stat().st_mode & 0o222 == 0 for path in tree.rglob("*") if path.is_file())

    async def test_a_scene_without_files_is_an_empty_folder(self, blobs: Blobs):
        tree = await blobs.materialise(EMPTY)
        assert list(tree.iterdir()) == []

    async def test_a_scene_that_is_not_all_here_is_not_laid_out(self, blobs: Blobs):
        await put(blobs, b"scene")
        with pytest.raises(NotFound) as caught:
            await blobs.materialise(make_manifest("s.blend", [entry("s.blend", b"scene"), entry("t.png", b"missing")]))
        assert digest_of(b"missing") in caught.value.message

    @pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", "C:/out"])
    async def test_names_that_leave_the_folder_are_refused(self, blobs: Blobs, name: str):
        await put(blobs, b"scene")
        with pytest.raises(Invalid) as caught:
            await blobs.materialise(Manifest(name, (entry(name, b"scene"),)))
        assert caught.value.code == "bad_file_name"

    async def test_a_name_cannot_be_a_file_and_a_folder(self, blobs: Blobs):
        await put(blobs, b"scene")
        with pytest.raises(Invalid) as caught:
            await blobs.materialise(Manifest("a", (entry("a", b"scene"), entry("a/b", b"scene"))))
        assert caught.value.code == "bad_manifest"

    async def test_pins_come_and_go(self, blobs: Blobs):
        digest = await put(blobs, b"kept")
        await blobs.pin("job", [digest, digest_of(b"not here yet")])
        await blobs.pin("job", [digest])
        await blobs.unpin("job")
        await blobs.unpin("never pinned")
        assert await blobs.has(digest)
