from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.ids import PeerId
from protocol.membership.broadcasts import Broadcasts, retransmit_limit
from protocol.wire.codec import encoded_size
from protocol.wire.gossip import Dead, Left, Suspect
from tests.protocol.membership.rig import A, B, C, alive


@pytest.mark.parametrize(("live", "limit"), [(1, 4), (2, 4), (9, 4), (10, 8), (98, 8), (99, 8), (100, 12), (999, 12)])
def test_the_retransmit_limit_grows_with_the_logarithm(live: int, limit: int) -> None:
    assert retransmit_limit(mult=4, live=live) == limit


def test_news_is_sent_as_often_as_the_limit_says_and_then_no_more() -> None:
    queue = Broadcasts()
    queue.put(alive(A))
    assert [queue.take(1_300, limit=3) for _ in range(5)] == [[alive(A)]] * 3 + [[], []]
    assert len(queue) == 0


def test_what_goes_to_somebody_who_may_not_hear_it_does_not_count() -> None:
    queue = Broadcasts()
    queue.put(alive(A))
    assert [queue.take(1_300, limit=1, counted=False) for _ in range(3)] == [[alive(A)]] * 3
    assert [queue.take(1_300, limit=1) for _ in range(2)] == [[alive(A)], []]


def test_newer_news_about_a_member_makes_the_older_pointless() -> None:
    queue = Broadcasts()
    for news in (alive(A), Suspect(A, 1, 1, B, False), alive(A, 2), Dead(A, 1, 2, B), Left(A, 1, 2)):
        queue.put(news)
        assert queue.about(A) == (news,)
    queue.put(alive(B))
    assert len(queue) == 2


def test_two_accusers_of_one_incarnation_stand_together() -> None:
    queue = Broadcasts()
    queue.put(Suspect(A, 1, 1, B, False))
    queue.put(Suspect(A, 1, 1, C, False))
    queue.put(Suspect(A, 1, 1, C, True))
    assert set(queue.about(A)) == {Suspect(A, 1, 1, B, False), Suspect(A, 1, 1, C, True)}
    queue.put(Suspect(A, 1, 2, C, False))
    assert queue.about(A) == (Suspect(A, 1, 2, C, False),)


def test_the_least_transmitted_comes_first_then_the_largest_that_fits() -> None:
    queue = Broadcasts()
    large, small = alive(A, meta=b"x" * 500), alive(B)
    queue.put(small)
    queue.put(large)
    assert queue.take(1_300, limit=9) == [large, small]
    fresh = Dead(C, 1, 1, A)
    queue.put(fresh)
    assert queue.take(1_300, limit=9) == [fresh, large, small]
    assert queue.take(encoded_size(small), limit=9) == [small]


def test_what_does_not_fit_waits() -> None:
    queue = Broadcasts()
    queue.put(alive(A, meta=b"x" * 500))
    assert queue.take(300, limit=1) == []
    assert len(queue.take(1_300, limit=1)) == 1


@given(st.integers(0, 1_400), st.lists(st.integers(0, 512), max_size=12))
def test_a_budget_is_never_exceeded(budget: int, sizes: list[int]) -> None:
    queue = Broadcasts()
    for number, size in enumerate(sizes):
        peer = PeerId(f"{number:064x}")
        queue.put(replace(alive(A), peer=peer, meta=bytes(size)))
    assert sum(map(encoded_size, queue.take(budget, limit=4))) <= budget


def test_a_full_queue_drops_the_most_transmitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BROADCASTS_MAX", 2)
    queue = Broadcasts()
    queue.put(alive(A))
    queue.take(1_300, limit=9)
    queue.put(alive(B))
    queue.put(alive(C))
    assert len(queue) == 2
    assert queue.about(A) == ()
