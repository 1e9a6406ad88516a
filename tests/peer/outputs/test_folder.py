"""Files in folders: whole or not there, and nobody else's is touched."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from peer.outputs.folder import TEMPORARY, FolderRoot
from peer.outputs.root import Judge
from protocol.events import DeliverEnded
from protocol.ids import Digest, Ticket
from protocol.jobs.parcels import Parcel, Placed
from protocol.jobs.results import Output
from tests.peer.outputs.bench import JOB, Bench, delivering


class FolderBench(Bench):
    """The bench, and the folder that it delivers into."""

    root: Path

    def files(self) -> dict[str, bytes]:
        paths = sorted(path for path in self.root.rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in paths}


@asynccontextmanager
async def on(root: Path, tmp_path: Path) -> AsyncIterator[FolderBench]:
    async with delivering(lambda blobs, judge: FolderRoot("out", root, blobs, judge), tmp_path) as made:
        bench = FolderBench(made.blobs, made.delivery, made.told)
        bench.root = root
        yield bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[FolderBench]:
    (tmp_path / "root").mkdir()
    async with on(tmp_path / "root", tmp_path) as made:
        yield made


async def test_a_file_gets_its_name_and_nothing_else_stays(bench: FolderBench):
    ended = await bench.deliver(bench.parcel(b"red:1"), folder="film/010")
    assert ended == DeliverEnded(Ticket("t1"), (Placed(1, 0),))
    assert bench.files() == {"film/010/shot_0001.png": b"red:1"}


async def test_once_more_changes_nothing(bench: FolderBench):
    await bench.deliver(bench.parcel(b"red:1"))
    before = (bench.root / "film" / "shot_0001.png").stat()
    ended = await bench.deliver(bench.parcel(b"red:1"))
    assert ended.placed == (Placed(1, 0),)
    assert (bench.root / "film" / "shot_0001.png").stat().st_ino == before.st_ino


async def test_equal_pixels_of_anybody_stay_and_are_no_conflict(bench: FolderBench):
    put(bench, b"red:of somebody")
    ended = await bench.deliver(bench.parcel(b"red:ours"))
    assert ended.placed == (Placed(1, 0),)
    assert bench.files() == {"film/shot_0001.png": b"red:of somebody"}


@pytest.mark.parametrize("theirs", [b"blue:1", b"no picture at all", b""])
async def test_another_file_is_kept_and_named(theirs: bytes, bench: FolderBench):
    put(bench, theirs)
    ended = await bench.deliver(bench.parcel(b"red:1", generation=1, replaces=[b"green"]))
    assert ended.placed == (Placed(1, 1, ("shot_0001.png",)),)
    assert bench.files() == {"film/shot_0001.png": theirs}


async def test_an_older_generation_of_ours_gives_way(bench: FolderBench):
    put(bench, b"green:ours, once")
    ended = await bench.deliver(bench.parcel(b"red:1", generation=1, replaces=[b"green", b"grey"]))
    assert ended.placed == (Placed(1, 1),)
    assert bench.files() == {"film/shot_0001.png": b"red:1"}


async def test_a_link_or_a_folder_of_that_name_is_kept(bench: FolderBench):
    (bench.root / "film" / "folder.png").mkdir(parents=True)
    (bench.root / "elsewhere.png").write_bytes(b"green:1")
    (bench.root / "film" / "link.png").symlink_to(bench.root / "elsewhere.png")
    for name in ("folder.png", "link.png"):
        ended = await bench.deliver(bench.parcel(b"red:1", name, generation=1, replaces=[b"green"]))
        assert ended.placed == (Placed(1, 1, (name,)),)
    assert (bench.root / "elsewhere.png").read_bytes() == b"green:1"


async def test_a_sweep_writes_nothing_and_says_what_is_there(bench: FolderBench):
    there = bench.parcel(b"red:1")
    await bench.deliver(there)
    missing = bench.parcel(b"blue:1", "shot_0002.png")
    ended = await bench.deliver(there, missing, sweep=True)
    assert ended.placed == (Placed(1, 0),)
    assert (await bench.deliver(missing, folder="nowhere", sweep=True)).placed == ()
    assert list(bench.files()) == ["film/shot_0001.png"]


async def test_to_a_sweep_an_older_generation_of_ours_is_not_the_frame(bench: FolderBench):
    put(bench, b"green:ours, once")
    newer = bench.parcel(b"red:1", generation=1, replaces=[b"green", b"red"])
    assert (await bench.sweep(newer)).placed == ()
    assert bench.files() == {"film/shot_0001.png": b"green:ours, once"}
    await bench.deliver(newer)
    assert (await bench.sweep(newer)).placed == (Placed(1, 1),)
    put(bench, b"red:of somebody")
    assert (await bench.sweep(newer)).placed == (Placed(1, 1),), "the pixels are right, and were so before"


@pytest.mark.parametrize("theirs", [b"blue:1", b"no picture at all", b""])
async def test_to_a_sweep_another_file_is_there(theirs: bytes, bench: FolderBench):
    put(bench, theirs)
    assert (await bench.sweep(bench.parcel(b"red:1", generation=1, replaces=[b"green"]))).placed == (Placed(1, 1),)


async def test_a_sweep_of_a_frame_that_replaces_nothing_reads_no_file(bench: FolderBench, monkeypatch: pytest.MonkeyPatch):
    put(bench, b"green:1")
    monkeypatch.setattr(Judge, "find", None)
    assert (await bench.sweep(bench.parcel(b"red:1"))).placed == (Placed(1, 0),)


async def test_what_a_killed_peer_left_of_this_job_goes_and_of_others_stays(bench: FolderBench):
    put(bench, b"half", f"{TEMPORARY}{JOB[:12]}-0123.part")
    put(bench, b"half", f"{TEMPORARY}{'c' * 12}-0123.part")
    await bench.deliver(bench.parcel(b"red:1"))
    assert sorted(bench.files()) == [f"film/{TEMPORARY}{'c' * 12}-0123.part", "film/shot_0001.png"]


async def test_a_link_that_leads_out_of_the_root_is_not_followed(bench: FolderBench, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (bench.root / "film").symlink_to(tmp_path / "outside")
    ended = await bench.deliver(bench.parcel(b"red:1"))
    assert (ended.placed, ended.code) == ((), "output_root_failed")
    assert list((tmp_path / "outside").iterdir()) == []


async def test_a_root_that_vanishes_is_a_reason_and_goes_on_when_it_is_back(bench: FolderBench):
    bench.root.rename(bench.root.with_name("away"))
    ended = await bench.deliver(bench.parcel(b"red:1"))
    assert (ended.placed, ended.code) == ((), "output_root_gone")
    bench.root.with_name("away").rename(bench.root)
    assert (await bench.deliver(bench.parcel(b"red:1"))).placed == (Placed(1, 0),)


async def test_a_damaged_blob_never_gets_a_name(bench: FolderBench):
    parcel = bench.parcel(b"red:1")
    await bench.blobs.path(parcel.outputs[0].digest)
    bench.blobs.blobs[parcel.outputs[0].digest] = b"red:X"
    for path in bench.blobs.folder.rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"red:X")
    ended = await bench.deliver(parcel)
    assert (ended.placed, ended.code) == ((), "output_unreachable")
    assert bench.files() == {}


async def test_a_blob_that_left_the_cache_is_asked_for_again(bench: FolderBench):
    parcel = bench.parcel(b"red:1")
    gone = Parcel(1, 0, parcel.names, (Output("main", "x.png", Digest("0" * 64), "0" * 64, 5, 4, 4, 3, "PNG"),), ())
    assert (await bench.deliver(gone)).code == "output_unreachable"


def put(bench: FolderBench, data: bytes, name: str = "shot_0001.png") -> None:
    (bench.root / "film").mkdir(exist_ok=True)
    (bench.root / "film" / name).write_bytes(data)


# roots of their own file system

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


@needs_root
async def test_a_full_root_keeps_what_fits_and_leaves_nothing_half(small: Path, tmp_path: Path):
    async with on(small, tmp_path) as bench:
        fits, large = bench.parcel(b"red:1"), bench.parcel(b"blue:" + bytes(200_000), "shot_0002.png")
        ended = await bench.deliver(fits, large)
        assert (ended.placed, ended.code) == ((Placed(1, 0),), "output_root_full")
        assert list(bench.files()) == ["film/shot_0001.png"]


@needs_root
async def test_a_read_only_root_is_a_reason(small: Path, tmp_path: Path):
    await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,ro", str(small)], check=True)
    async with on(small, tmp_path) as bench:
        ended = await bench.deliver(bench.parcel(b"red:1"))
        assert (ended.placed, ended.code) == ((), "output_root_read_only")


@needs_root
async def test_an_empty_mount_point_is_not_taken_for_the_root(small: Path, tmp_path: Path):
    async with on(small, tmp_path) as bench:
        await bench.deliver(bench.parcel(b"red:1"))
        await asyncio.to_thread(subprocess.run, ["umount", str(small)], check=True)
        ended = await bench.deliver(bench.parcel(b"red:1"))
        assert (ended.placed, ended.code) == ((), "output_root_gone")
        assert bench.files() == {}
