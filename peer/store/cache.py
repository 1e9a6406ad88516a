"""Which blobs may go, and which of them go first when space is short. Pure bookkeeping, of what nobody has pinned.

A pinned blob is not in it, for there may be millions of them: the file under its name says that it is here, the row of its pin
that it stays. Only pins whose blobs have not come yet are remembered. Refuses to know about files and rows.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence

from protocol.ids import Digest


class CacheIndex:
    """Invariants: `_sizes` runs from the least to the most recently used; a blob that is not in it is pinned, or not here; one
    that is in use, or fresh (arrived within the last `grace_s` seconds, so that whoever brought it has time to pin it), is
    never a victim."""

    def __init__(self, *, grace_s: float, clock: Callable[[], float]) -> None:
        self._grace_s = grace_s
        self._clock = clock
        self._sizes: OrderedDict[Digest, int] = OrderedDict()
        self._awaited: set[Digest] = set()
        self._used: Counter[Digest] = Counter()
        self._fresh_until: dict[Digest, float] = {}
        self._cached_bytes = 0

    def __contains__(self, digest: object) -> bool:
        return digest in self._sizes

    def digests(self) -> list[Digest]:
        """What is here and not pinned, from the least to the most recently used."""
        return list(self._sizes)

    @property
    def cached_bytes(self) -> int:
        """Bytes of all blobs that nobody has pinned: what the cache's limit is about."""
        return self._cached_bytes

    def add(self, digest: Digest, size: int, *, new: bool, fresh: bool = True) -> None:
        """A blob is here: the most recently used one. Its file was put there just now (`new`), or there was one already."""
        if digest in self._awaited:
            self._awaited.discard(digest)
        elif new or digest in self._sizes:
            self.free(digest, size)
            self.touch(digest)
        if fresh:
            self.renew(digest)

    def free(self, digest: Digest, size: int) -> None:
        """A blob that is here is not pinned (any more): it counts as the least recently used one."""
        if digest not in self._sizes:
            self._sizes[digest] = size
            self._sizes.move_to_end(digest, last=False)
            self._cached_bytes += size

    def renew(self, digest: Digest) -> None:
        """Whoever needs this blob has time again to pin it, also when others let go of it meanwhile."""
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
        """A blob is gone, or it is pinned from now on."""
        self._cached_bytes -= self._sizes.pop(digest, 0)

    def touch(self, digest: Digest) -> None:
        """A blob was used."""
        if digest in self._sizes:
            self._sizes.move_to_end(digest)

    def expect(self, digest: Digest) -> None:
        """A pinned blob is not here: when it comes, it stays."""
        self._awaited.add(digest)

    def unexpect(self, digest: Digest) -> None:
        """It is here after all, or nobody has pinned it any more."""
        self._awaited.discard(digest)

    def expects(self, digest: Digest) -> bool:
        """Whether a blob is pinned and not here."""
        return digest in self._awaited

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
        """Whether a blob that is here must stay."""
        return digest not in self._sizes or digest in self._used or self._fresh_until.get(digest, -1.0) > self._clock()

    def size(self, digest: Digest) -> int:
        """Bytes of a blob that is here and not pinned; 0 for any other."""
        return self._sizes.get(digest, 0)

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
