"""One event for each delivery, whatever becomes of it."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from peer.outputs.root import RootFault, Verdict
from peer.ports import Corrupt
from protocol.errors import Unavailable
from protocol.ids import JobId
from protocol.jobs.parcels import Parcel, Placed
from protocol.jobs.results import Output
from tests.peer.outputs.bench import JOB, Bench, delivering
from tests.waiting import wait_until


@dataclass
class Root:
    """A root that says what it is told to, and remembers what it was asked for."""

    verdicts: dict[str, Verdict | Exception] = field(default_factory=dict)
    there: set[str] = field(default_factory=set)
    begun: list[JobId] = field(default_factory=list)
    placed: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self, job: JobId) -> Root:
        self.begun.append(job)
        await self.gate.wait()
        return self

    async def place(self, name: str, parcel: Parcel, output: Output) -> Verdict:
        verdict = self.verdicts.get(name, "placed")
        if isinstance(verdict, Exception):
            raise verdict
        self.placed.append(name)
        return verdict

    async def holds(self, name: str, parcel: Parcel, output: Output) -> bool:
        assert output == parcel.outputs[0]
        return name in self.there


def two(bench: Bench, frame: int, *names: str) -> Parcel:
    """A frame of several files."""
    made = bench.parcel(b"red:1")
    return Parcel(frame, 0, names, made.outputs * len(names), ())


async def test_a_frame_is_dealt_with_when_all_its_files_are(tmp_path: Path):
    root = Root({"film/1.b": "conflict"})
    root.gate.set()
    async with delivering(lambda blobs, judge: root, tmp_path) as bench:
        ended = await bench.deliver(two(bench, 1, "1.a", "1.b"), two(bench, 2, "2.a"))
        assert (ended.code, ended.placed) == ("", (Placed(1, 0, ("1.b",)), Placed(2, 0)))
        assert root.placed == ["film/1.a", "film/1.b", "film/2.a"]
        assert root.begun == [JOB]


async def test_the_root_itself_may_be_the_folder(tmp_path: Path):
    root = Root()
    root.gate.set()
    async with delivering(lambda blobs, judge: root, tmp_path) as bench:
        await bench.deliver(two(bench, 1, "1.a"), folder="")
        assert root.placed == ["1.a"]


async def test_a_sweep_puts_nothing_there_and_a_frame_counts_only_when_it_is_whole(tmp_path: Path):
    root = Root(there={"film/1.a", "film/2.a", "film/2.b"})
    root.gate.set()
    async with delivering(lambda blobs, judge: root, tmp_path) as bench:
        ended = await bench.sweep(two(bench, 1, "1.a", "1.b"), two(bench, 2, "2.a", "2.b"))
        assert ended.placed == (Placed(2, 0),)
        assert root.placed == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (RootFault("output_root_gone", "not mounted"), "output_root_gone"),
        (Corrupt("damaged"), "output_unreachable"),
        (Unavailable("x", "away"), "output_unreachable"),
        (OSError(errno.ENOSPC, "full"), "output_root_full"),
        (OSError(errno.EROFS, "closed"), "output_root_read_only"),
        (OSError(errno.ESTALE, "gone"), "output_root_gone"),
        (OSError(errno.ENAMETOOLONG, "long"), "output_root_failed"),
        (KeyError("a mistake of ours"), "output_root_failed"),
    ],
)
async def test_what_hinders_it_has_a_code_and_what_was_done_before_stays_done(fault: Exception, code: str, tmp_path: Path):
    root = Root({"film/2.a": fault})
    root.gate.set()
    async with delivering(lambda blobs, judge: root, tmp_path) as bench:
        ended = await bench.deliver(two(bench, 1, "1.a"), two(bench, 2, "2.a"), two(bench, 3, "3.a"))
        assert (ended.code, ended.placed) == (code, (Placed(1, 0),))
        assert ended.reason


async def test_what_is_under_way_when_a_peer_ends_is_told_by_nobody(tmp_path: Path):
    root = Root()
    async with delivering(lambda blobs, judge: root, tmp_path) as bench:
        pending = asyncio.create_task(bench.deliver(two(bench, 1, "1.a")))
        await wait_until(lambda: root.begun)
        await bench.delivery.close()
        assert bench.told == []
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)
