from pathlib import Path

import pytest

from peer.net.fetch import BlobFetcher
from peer.net.meshclient import TransferFailed
from peer.net.smallblobs import batches, bring
from protocol import limits
from protocol.ids import Address, Digest, PeerId
from tests.fakes.memory_store import MemoryBlobs, digest_of

ANN = PeerId("a" * 64)
HERE = Address("127.0.0.1", 7701)


class Source:
    """Sends what it has in two pieces."""

    def __init__(self, *contents: bytes) -> None:
        self.there = {digest_of(data): data for data in contents}
        self.asked: list[Digest] = []

    async def copy_blob(self, peer, address, digest, *, start, size, sink):
        self.asked.append(digest)
        if digest not in self.there:
            raise TransferFailed("not held")
        data = self.there[digest]
        await sink(data[:1])
        await sink(data[1:])


def items(*contents: bytes) -> list[tuple[Digest, int]]:
    return [(digest_of(data), len(data)) for data in contents]


CONTENTS = [b"", *(b"file %d" % number for number in range(50))]


async def test_all_small_ones_come_and_large_ones_are_left(tmp_path: Path):
    blobs, large = MemoryBlobs(tmp_path), bytes(limits.SMALL_FILE_BYTES_MAX + 1)
    source = Source(*CONTENTS, large)
    assert await bring(source, blobs, ANN, HERE, items(large, *CONTENTS))
    assert set(blobs.blobs.values()) == set(CONTENTS)


@pytest.mark.parametrize("wrong", [b"", b"lie", b"a lie that is longer than it was said"])
async def test_wrong_bytes_never_get_a_place_and_nothing_more_is_asked(
    wrong: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "SMALL_FILES_MAX", 10)
    monkeypatch.setattr(limits, "SMALL_FETCHES_AT_ONCE", 1)
    blobs, source = MemoryBlobs(tmp_path), Source(*CONTENTS)
    source.there[digest_of(CONTENTS[5])] = wrong
    await bring(source, blobs, ANN, HERE, items(*CONTENTS))
    assert set(blobs.blobs.values()) == set(CONTENTS[:5])
    assert len(source.asked) == 5, "the empty one needs no question"


async def test_a_holder_that_has_not_all_is_asked_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "SMALL_FETCHES_AT_ONCE", 1)
    blobs, source = MemoryBlobs(tmp_path), Source(*CONTENTS[:3])
    unknown, other = PeerId("b" * 64), PeerId("c" * 64)
    then = await BlobFetcher(source, blobs, {ANN: HERE}.get).fetch_small(items(*CONTENTS), [unknown, ANN, other])
    assert then == [unknown, other, ANN], "it is asked last for what is left"
    assert set(blobs.blobs.values()) == set(CONTENTS[:3])
    assert len(source.asked) == 3


async def test_nobody_is_there_to_ask(tmp_path: Path):
    assert await BlobFetcher(Source(), MemoryBlobs(tmp_path), lambda _: None).fetch_small(items(b"a"), [ANN]) == [ANN]


def test_a_batch_is_limited_by_count_and_bytes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "SMALL_FILES_MAX", 3)
    monkeypatch.setattr(limits, "SMALL_FILES_BYTES_MAX", 10)
    sizes = [1, 1, 1, 1, 9, 2, 11, 1]
    found = [[size for _, size in batch] for batch in batches([(Digest(str(n)), size) for n, size in enumerate(sizes)])]
    assert found == [[1, 1, 1], [1, 9], [2], [11], [1]]
