"""The bookkeeping of the cache, against a model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peer.store.cache import CacheIndex
from protocol.ids import Digest

BLOBS = [Digest(f"{number:064x}") for number in range(6)]
NONE: frozenset[Digest] = frozenset()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def index(grace_s: float = 0.0) -> CacheIndex:
    return CacheIndex(grace_s=grace_s, clock=Clock())


def test_victims_are_the_least_recently_used_and_no_more_than_needed():
    cache = index()
    for blob in BLOBS[:4]:
        cache.add(blob, 10, new=True)
    cache.touch(BLOBS[0])
    assert list(cache.victims(15, spared=NONE)) == [BLOBS[1], BLOBS[2]]
    assert list(cache.victims(0, spared=NONE)) == []
    assert list(cache.victims(10**9, spared=frozenset({BLOBS[3]}))) == [BLOBS[1], BLOBS[2], BLOBS[0]]


def test_a_fresh_blob_may_go_once_its_grace_is_over():
    clock = Clock()
    cache = CacheIndex(grace_s=5.0, clock=clock)
    cache.add(BLOBS[0], 10, new=True)
    assert cache.is_protected(BLOBS[0])
    clock.now = 5.0
    assert not cache.is_protected(BLOBS[0])


def test_what_is_expected_stays_out_of_the_cache_when_it_comes():
    cache = index()
    cache.expect(BLOBS[0])
    assert cache.expects(BLOBS[0])
    cache.add(BLOBS[0], 10, new=True)
    assert (cache.expects(BLOBS[0]), BLOBS[0] in cache, cache.cached_bytes) == (False, False, 0)
    cache.add(BLOBS[0], 10, new=False)
    assert BLOBS[0] not in cache, "there was a file already, and it was not in the cache: it is pinned"
    cache.free(BLOBS[0], 10)
    assert (cache.cached_bytes, list(cache.victims(1, spared=NONE))) == (10, [BLOBS[0]])
    cache.expect(BLOBS[1])
    cache.unexpect(BLOBS[1])
    cache.add(BLOBS[1], 5, new=True)
    assert cache.cached_bytes == 15


STEPS = st.lists(
    st.tuples(st.sampled_from(["come", "again", "go", "use", "release"]), st.integers(0, 5)),
    max_size=60,
)


@given(STEPS)
def test_the_count_of_cached_bytes_and_the_protection_agree_with_a_model(steps: list[tuple[str, int]]):
    cache = index()
    here: set[Digest] = set()
    used = dict.fromkeys(BLOBS, 0)
    for step, number in steps:
        blob = BLOBS[number]
        match step:
            case "come":
                cache.add(blob, number + 1, new=True)
                here.add(blob)
            case "again":
                cache.add(blob, number + 1, new=False)
            case "go":
                cache.remove(blob)
                here.discard(blob)
            case "use":
                cache.use([blob])
                used[blob] += 1
            case "release" if used[blob]:
                cache.release([blob])
                used[blob] -= 1
        assert cache.cached_bytes == sum(BLOBS.index(one) + 1 for one in here)
        assert [cache.size(one) for one in BLOBS] == [BLOBS.index(one) + 1 if one in here else 0 for one in BLOBS]
        assert set(cache.victims(10**9, spared=NONE)) == {one for one in here if not used[one]}
        assert {one for one in BLOBS if not cache.is_protected(one)} == {one for one in here if not used[one]}


def test_moments_of_grace_are_forgotten_once_they_have_passed():
    clock = Clock()
    cache = CacheIndex(grace_s=5.0, clock=clock)
    cache.add(BLOBS[0], 10, new=True)
    cache.add(BLOBS[1], 10, new=True)
    clock.now = 3.0
    cache.add(BLOBS[0], 10, new=True)
    clock.now = 6.0
    cache.add(BLOBS[2], 10, new=True)
    assert list(cache._fresh_until) == [BLOBS[0], BLOBS[2]]
    assert cache.is_protected(BLOBS[0])
    assert not cache.is_protected(BLOBS[1])
