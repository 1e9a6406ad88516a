"""The facts of one author about one job, in sequence: the newest as they are, older ones as packed rows in the attic.

A finished frame's fact costs some 1.3 kB as an object, and is hardly looked at again: it is sent to replicas at once, and then
only when somebody asks for the frame, starts anew, or brings facts that compete with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast, overload

import msgpack

from protocol.ids import AuthorId, Digest, JobId
from protocol.ledger.attic import Attic
from protocol.ledger.facts import Fact
from protocol.ledger.rows import body_from_row, body_to_row


class FactLog(Sequence[Fact]):
    """Invariants: the fact at index i has the sequence i + 1; a pack holds exactly `attic.batch` facts; as many of the newest
    (or all, when there are fewer) are in memory."""

    __slots__ = ("_attic", "_author", "_job", "_opened", "_pack", "_packs", "_tail")

    def __init__(self, job: JobId, author: AuthorId, attic: Attic) -> None:
        self._job = job
        self._author = author
        self._attic = attic
        self._pack = attic.batch
        self._packs: list[int] = []  # where each is in the attic
        self._tail: list[Fact] = []
        self._opened: tuple[int, list[bytes]] | None = None  # the pack that was looked at last, and its rows

    def __len__(self) -> int:
        return len(self._packs) * self._pack + len(self._tail)

    def append(self, fact: Fact) -> None:
        """Take the next fact. Raises `Malformed` when facts that lie here already could not be read back."""
        self._tail.append(fact)
        if len(self._tail) >= 2 * self._pack:
            rows = [body_to_row(older.body) for older in self._tail[: self._pack]]
            self._packs.append(self._attic.put(cast(bytes, msgpack.packb(rows))))
            del self._tail[: self._pack]

    @overload
    def __getitem__(self, at: int) -> Fact: ...
    @overload
    def __getitem__(self, at: slice) -> list[Fact]: ...
    def __getitem__(self, at: int | slice) -> Fact | list[Fact]:
        if isinstance(at, slice):
            return [self._fact(index) for index in range(*at.indices(len(self)))]
        return self._fact(range(len(self))[at])

    def __iter__(self) -> Iterator[Fact]:
        return (self._fact(index) for index in range(len(self)))

    def speaking_of(self, digest: Digest) -> Iterator[Fact]:
        """Facts with a blob of this digest, perhaps others too: packed ones are searched as bytes, which is fast."""
        raw = bytes.fromhex(digest)
        for number, place in enumerate(self._packs):
            if raw in self._attic.get(place):
                rows = self._rows(number)
                yield from (self._fact(number * self._pack + at) for at, row in enumerate(rows) if raw in row)
        yield from self._tail

    def release(self) -> None:
        """Nobody needs these facts any more."""
        for place in self._packs:
            self._attic.drop(place)
        self._packs, self._tail, self._opened = [], [], None

    def _fact(self, index: int) -> Fact:
        number, at = divmod(index, self._pack)
        if number >= len(self._packs):
            return self._tail[index - len(self._packs) * self._pack]
        return Fact(self._job, self._author, index + 1, body_from_row(self._rows(number)[at]))

    def _rows(self, number: int) -> list[bytes]:
        if self._opened is None or self._opened[0] != number:
            self._opened = (number, msgpack.unpackb(self._attic.get(self._packs[number])))
        return self._opened[1]
