from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from peer.comparing import Comparer
from peer.ports import RenderFailed
from protocol.effects import Compare
from protocol.events import Compared
from protocol.ids import Digest, Ticket
from protocol.jobs.results import Failure
from tests.fakes.memory_store import MemoryBlobs, digest_of
from tests.waiting import wait_until


class Texts:
    """A judge of pictures that are texts: they agree when they are of one length."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def compare(self, one: Path, other: Path, outliers: float) -> tuple[bool, str]:
        self.asked.append(outliers)
        texts = [path.read_bytes() for path in (one, other)]
        if b"broken" in texts:
            raise RenderFailed(Failure("infrastructure", "the decoder died of it"))
        return len(texts[0]) == len(texts[1]), "as told"


class Bench:
    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.work.mkdir()
        self.blobs = MemoryBlobs(folder / "blobs")
        self.judge = Texts()
        self.told: list[Compared] = []
        self.comparer = Comparer(judge=self.judge, blobs=self.blobs, folder=self.work, tell=self.told.append)

    async def put(self, data: bytes) -> Digest:
        [(digest, _)] = await self.blobs.take_many([data])
        return digest

    async def compare(self, *pairs: tuple[Digest, Digest]) -> Compared:
        self.comparer.compare(Compare(Ticket("t"), pairs, 0.25))
        await wait_until(lambda: self.told)
        assert list(self.work.iterdir()) == []
        return self.told.pop()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    (tmp_path / "blobs").mkdir()
    made = Bench(tmp_path)
    yield made
    await made.comparer.close()


async def test_pictures_agree_when_each_pair_does(bench: Bench):
    one, other, longer = [await bench.put(text) for text in (b"one", b"two", b"three")]
    assert await bench.compare((one, other), (one, one)) == Compared(Ticket("t"), True, "as told")
    assert (await bench.compare((one, other), (one, longer))).agree is False
    assert set(bench.judge.asked) == {0.25}


async def test_what_cannot_be_compared_is_no_evidence(bench: Bench):
    one, broken = await bench.put(b"one"), await bench.put(b"broken")
    assert await bench.compare((one, broken)) == Compared(Ticket("t"), None, "the decoder died of it")
    gone = await bench.compare((one, digest_of(b"gone")))
    assert gone.agree is None
    assert "not here any more" in gone.text
    assert (await bench.compare()).agree is None
