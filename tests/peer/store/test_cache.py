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
        cache.add(blob, 10)
    cache.touch(BLOBS[0])
    assert list(cache.victims(15, spared=NONE)) == [BLOBS[1], BLOBS[2]]
    assert list(cache.victims(0, spared=NONE)) == []
    assert list(cache.victims(10**9, spared=frozenset({BLOBS[3]}))) == [BLOBS[1], BLOBS[2], BLOBS[0]]


def test_a_fresh_blob_may_go_once_its_grace_is_over():
    clock = Clock()
    cache = CacheIndex(grace_s=5.0, clock=clock)
    cache.add(BLOBS[0], 10)
    assert cache.is_protected(BLOBS[0])
    clock.now = 5.0
    assert not cache.is_protected(BLOBS[0])


def test_pins_outlive_the_blob():
    cache = index()
    assert cache.pin("job", [BLOBS[0], BLOBS[0], BLOBS[1]]) == BLOBS[:2]
    assert cache.pin("job", [BLOBS[1]]) == []
    cache.add(BLOBS[0], 10)
    cache.remove(BLOBS[0])
    cache.add(BLOBS[0], 10)
    assert cache.cached_bytes == 0
    cache.unpin("job", [BLOBS[0]])
    assert (cache.cached_bytes, cache.is_protected(BLOBS[1])) == (10, True)


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "pin", "unpin", "use", "release"]), st.integers(0, 5), st.sampled_from("ab")),
    max_size=60,
)


@given(STEPS)
def test_the_count_of_cached_bytes_and_the_protection_agree_with_a_model(steps: list[tuple[str, int, str]]):
    cache = index()
    here: set[Digest] = set()
    pins: dict[str, set[Digest]] = {"a": set(), "b": set()}
    used = dict.fromkeys(BLOBS, 0)
    for step, number, owner in steps:
        blob = BLOBS[number]
        match step:
            case "add":
                cache.add(blob, number + 1)
                here.add(blob)
            case "remove":
                cache.remove(blob)
                here.discard(blob)
            case "pin":
                cache.pin(owner, [blob])
                pins[owner].add(blob)
            case "unpin":
                cache.unpin(owner)
                pins[owner].clear()
            case "use":
                cache.use([blob])
                used[blob] += 1
            case "release" if used[blob]:
                cache.release([blob])
                used[blob] -= 1
        pinned = pins["a"] | pins["b"]
        assert cache.cached_bytes == sum(BLOBS.index(one) + 1 for one in here - pinned)
        free = {one for one in here - pinned if not used[one]}
        assert set(cache.victims(10**9, spared=NONE)) == free


def test_moments_of_grace_are_forgotten_once_they_have_passed():
    clock = Clock()
    cache = CacheIndex(grace_s=5.0, clock=clock)
    cache.add(BLOBS[0], 10)
    cache.add(BLOBS[1], 10)
    clock.now = 3.0
    cache.add(BLOBS[0], 10)
    clock.now = 6.0
    cache.add(BLOBS[2], 10)
    assert list(cache._fresh_until) == [BLOBS[0], BLOBS[2]]
    assert cache.is_protected(BLOBS[0])
    assert not cache.is_protected(BLOBS[1])
