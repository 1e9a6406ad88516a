"""Which blobs are here, which of them must stay, and which go first when space is short. Pure bookkeeping.

Refuses to know about files: `peer.store.blobs` moves the bytes and tells this index.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence

from protocol.ids import Digest


class CacheIndex:
    """Invariants: `sizes` runs from the least to the most recently used; a blob that is pinned, in use, or fresh (arrived
    within the last `grace_s` seconds, so that whoever brought it has time to pin it) is never a victim."""

    def __init__(self, *, grace_s: float, clock: Callable[[], float]) -> None:
        self._grace_s = grace_s
        self._clock = clock
        self._sizes: OrderedDict[Digest, int] = OrderedDict()
        self._owners: dict[str, set[Digest]] = {}
        self._pinned: Counter[Digest] = Counter()
        self._used: Counter[Digest] = Counter()
        self._fresh_until: dict[Digest, float] = {}
        self._cached_bytes = 0

    def __contains__(self, digest: object) -> bool:
        return digest in self._sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def digests(self) -> list[Digest]:
        """What is here, from the least to the most recently used."""
        return list(self._sizes)

    @property
    def cached_bytes(self) -> int:
        """Bytes of all blobs that nobody has pinned: what the cache's limit is about."""
        return self._cached_bytes

    @property
    def total_bytes(self) -> int:
        """Bytes of all blobs."""
        return sum(self._sizes.values())

    def size(self, digest: Digest) -> int | None:
        """Bytes of a blob, None when it is not here."""
        return self._sizes.get(digest)

    def add(self, digest: Digest, size: int, *, fresh: bool = True) -> None:
        """A blob is here (again): the most recently used one."""
        if digest not in self._sizes:
            self._sizes[digest] = size
            self._cached_bytes += 0 if digest in self._pinned else size
        self._sizes.move_to_end(digest)
        if fresh:
            self._forget_stale()
            self._fresh_until.pop(digest, None)  # the dictionary is in the order of its moments
            self._fresh_until[digest] = self._clock() + self._grace_s

    def _forget_stale(self) -> None:
        """Drop moments that have passed, oldest first: a peer takes in blobs for months."""
        now = self._clock()
        while self._fresh_until:
            oldest = next(iter(self._fresh_until))
            if self._fresh_until[oldest] > now:
                return
            del self._fresh_until[oldest]

    def remove(self, digest: Digest) -> None:
        """A blob is gone; pins on it stay and count again when it returns."""
        size = self._sizes.pop(digest, None)
        self._fresh_until.pop(digest, None)
        if size is not None and digest not in self._pinned:
            self._cached_bytes -= size

    def touch(self, digest: Digest) -> None:
        """A blob was used."""
        if digest in self._sizes:
            self._sizes.move_to_end(digest)

    def pin(self, owner: str, digests: Iterable[Digest]) -> list[Digest]:
        """Protect, also what is not here yet; the digests that `owner` had not pinned before."""
        held = self._owners.setdefault(owner, set())
        new = [digest for digest in dict.fromkeys(digests) if digest not in held]
        held.update(new)
        for digest in new:
            if digest not in self._pinned:
                self._cached_bytes -= self._sizes.get(digest, 0)
            self._pinned[digest] += 1
        return new

    def unpin(self, owner: str, digests: Iterable[Digest] | None = None) -> None:
        """Take back all of the owner's pins, or only `digests`."""
        held = self._owners.get(owner, set())
        for digest in [*held] if digests is None else [digest for digest in digests if digest in held]:
            held.discard(digest)
            self._pinned[digest] -= 1
            if not self._pinned[digest]:
                del self._pinned[digest]
                self._cached_bytes += self._sizes.get(digest, 0)
        if not held:
            self._owners.pop(owner, None)

    def use(self, digests: Iterable[Digest], *, touch: bool = True) -> None:
        """Protect while something reads or links; `release` as often. Without `touch` it does not count as used."""
        for digest in digests:
            self._used[digest] += 1
            if touch:
                self.touch(digest)

    def release(self, digests: Iterable[Digest]) -> None:
        """The end of a `use`."""
        for digest in digests:
            self._used[digest] -= 1
            if not self._used[digest]:
                del self._used[digest]

    def is_protected(self, digest: Digest) -> bool:
        """Whether the blob must stay."""
        if digest in self._pinned or digest in self._used:
            return True
        return self._fresh_until.get(digest, -1.0) > self._clock()

    def victims(self, wanted_bytes: int, *, spared: frozenset[Digest]) -> Sequence[Digest]:
        """Least recently used blobs of together `wanted_bytes` or, when there are not as many, all that may go."""
        chosen: list[Digest] = []
        for digest, size in self._sizes.items():
            if wanted_bytes <= 0:
                break
            if digest not in spared and not self.is_protected(digest):
                chosen.append(digest)
                wanted_bytes -= size
        return chosen
