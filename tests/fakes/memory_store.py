"""The store's ports in memory: the same promises, held to by the same contract tests, without a disk's durability."""

from __future__ import annotations

import shutil
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import blake3

from peer.ports import Corrupt, StoreFull
from peer.store.journal import check_fact, check_value
from protocol import limits
from protocol.errors import Invalid, NotFound
from protocol.ids import AuthorId, Digest, JobId, is_hex
from protocol.jobs.manifest import Manifest, clean_name
from protocol.ledger.facts import Fact
from protocol.records import DropValue, ForgetJob, PutFact, PutValue, Record


def digest_of(data: bytes) -> Digest:
    """A blob's name."""
    return Digest(blake3.blake3(data).hexdigest())


class MemoryJournal:
    """Satisfies `peer.ports.Journal`. `fault` is raised by every commit while it is set; `commits` counts those that held."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.commits = 0
        self._facts: dict[tuple[JobId, AuthorId, int], Fact] = {}
        self._values: dict[str, bytes] = {}

    async def commit(self, records: Sequence[Record]) -> None:
        if self.fault is not None:
            raise self.fault
        _check(records)
        for record in records:
            self._apply(record)
        self.commits += 1

    def _apply(self, record: Record) -> None:
        match record:
            case PutFact(fact):
                self._facts.setdefault((fact.job, fact.author, fact.seq), fact)
            case PutValue(key, value):
                self._values[key] = value
            case DropValue(key):
                self._values.pop(key, None)
            case ForgetJob(job):
                self._facts = {name: fact for name, fact in self._facts.items() if name[0] != job}

    async def facts(self) -> list[Fact]:
        return [self._facts[name] for name in sorted(self._facts)]

    async def values(self) -> Mapping[str, bytes]:
        return dict(sorted(self._values.items()))


def _check(records: Sequence[Record]) -> None:
    for record in records:
        if isinstance(record, PutFact):
            check_fact(record.fact)
        elif isinstance(record, PutValue):
            check_value(record.key, record.value)


class MemoryBlobs:
    """Satisfies `peer.ports.Blobs`; `folder` is where paths and trees appear when somebody asks for them.

    Nothing is ever evicted; what does not fit into `bytes_max` is refused."""

    def __init__(self, folder: Path, *, bytes_max: int = 2**30) -> None:
        self.folder = folder
        self.bytes_max = bytes_max
        self.blobs: dict[Digest, bytes] = {}
        self.pins: dict[str, set[Digest]] = {}
        self.partials: dict[Digest, bytes] = {}

    def add(self, data: bytes) -> Digest:
        """Hold a blob at once: for tests that need one to be there."""
        digest = digest_of(data)
        self.blobs[digest] = data
        return digest

    def room(self, more: int) -> None:
        if sum(map(len, self.blobs.values())) + more > self.bytes_max:
            raise StoreFull("the fake is full")

    async def has(self, digest: Digest) -> bool:
        return digest in self.blobs

    async def missing(self, digests: Sequence[Digest]) -> list[Digest]:
        return [digest for digest in digests if digest not in self.blobs]

    async def size(self, digest: Digest) -> int | None:
        return len(self.blobs[digest]) if digest in self.blobs else None

    async def check(self, digest: Digest) -> None:
        if digest not in self.blobs:
            raise NotFound("no_such_blob", f"the file {digest} is not held here")
        if digest_of(self.blobs[digest]) != digest:
            del self.blobs[digest]
            raise Corrupt(f"blob {digest} was damaged; this copy was dropped")

    async def path(self, digest: Digest) -> Path | None:
        if digest not in self.blobs:
            return None
        return _shown(self.folder / "blobs" / digest, self.blobs[digest])

    async def read(self, digest: Digest, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        if digest not in self.blobs:
            raise NotFound("no_such_blob", f"the file {digest} is not held here")
        if start < 0 or (end is not None and end < start):
            raise Invalid("bad_range", f"bytes {start} to {end} are not a range")
        wanted = self.blobs[digest][start:end]
        for at in range(0, len(wanted), limits.BLOB_CHUNK_BYTES):
            yield wanted[at : at + limits.BLOB_CHUNK_BYTES]

    async def writer(self, expected: Digest | None = None, *, size: int | None = None) -> MemoryWriter:
        if expected is not None and not is_hex(expected, 64):
            raise Invalid("bad_digest", f"not a digest: {expected[:80]!r}")
        self.room(size or 0)
        return MemoryWriter(self, expected, size)

    async def adopt(self, path: Path) -> tuple[Digest, int]:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ValueError(f"{path} is not a regular file")
        data = path.read_bytes()
        self.room(len(data))
        path.chmod(0o444)
        return self.add(data), len(data)

    async def take_many(self, contents: Sequence[bytes]) -> list[tuple[Digest, int]]:
        self.room(sum(map(len, contents)))
        return [(self.add(data), len(data)) for data in contents]

    async def pin(self, owner: str, digests: Sequence[Digest]) -> None:
        self.pins.setdefault(owner, set()).update(digests)

    async def unpin(self, owner: str) -> None:
        self.pins.pop(owner, None)

    async def materialise(self, manifest: Manifest) -> Path:
        tree = self.folder / "trees" / manifest.digest()
        for entry in manifest.files:
            if entry.digest not in self.blobs:
                raise NotFound("no_such_blob", f"the file {entry.digest} is not held here")
            clean_name(entry.name)
        try:
            tree.mkdir(parents=True, exist_ok=True)
            for entry in manifest.files:
                _shown(tree / entry.name, self.blobs[entry.digest])
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as fault:
            shutil.rmtree(tree)
            raise Invalid("bad_manifest", f"the scene's files cannot be laid out together: {fault}") from fault
        return tree


class MemoryWriter:
    """Satisfies `peer.ports.BlobWriter`."""

    def __init__(self, blobs: MemoryBlobs, expected: Digest | None, size: int | None) -> None:
        self._blobs = blobs
        self._expected = expected
        self._size = size
        self._data = bytearray(blobs.partials.pop(expected, b"") if expected is not None else b"")
        self._ended = False
        self._file = blobs.folder / f"in-{id(self)}"

    @property
    def offset(self) -> int:
        return len(self._data)

    @property
    def path(self) -> Path:
        self._refuse_ended()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_bytes(self._data)
        return self._file

    async def write(self, chunk: bytes) -> None:
        self._refuse_ended()
        try:
            if self._size is not None and len(self._data) + len(chunk) > self._size:
                raise Corrupt(f"more than the {self._size} bytes that were announced")
            self._blobs.room(len(self._data) + len(chunk))
        except Exception:
            self._ended = True
            raise
        self._data += chunk

    async def finish(self) -> tuple[Digest, int]:
        self._refuse_ended()
        self._end()
        digest = digest_of(bytes(self._data))
        if (self._expected is not None and digest != self._expected) or self._size not in (None, len(self._data)):
            raise Corrupt(f"the bytes are {digest}, not {self._expected}")
        self._blobs.blobs[digest] = bytes(self._data)
        return digest, len(self._data)

    async def abort(self, *, keep: bool) -> None:
        if keep and self._expected is not None and not self._ended:
            self._blobs.partials[self._expected] = bytes(self._data)
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._file.unlink(missing_ok=True)

    def _refuse_ended(self) -> None:
        if self._ended:
            raise ValueError("this transfer has ended")


def _shown(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.is_dir():
        path.write_bytes(data)
        path.chmod(0o444)
    return path
