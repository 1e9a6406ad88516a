from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import PeerId
from protocol.membership.rotation import Rotation

PEERS = [PeerId(f"{number:064x}") for number in range(20)]


def always(peer: PeerId) -> bool:
    return True


@given(st.integers(0, 2**32), st.integers(1, 20))
def test_each_member_is_probed_once_before_any_is_repeated(seed: int, count: int) -> None:
    rotation = Rotation(Random(seed))
    for peer in PEERS[:count]:
        rotation.add(peer)
    first = [rotation.next(always) for _ in range(count)]
    second = [rotation.next(always) for _ in range(count)]
    assert sorted(map(str, first)) == sorted(map(str, second)) == PEERS[:count]


@given(st.integers(0, 2**32), st.integers(0, 9))
def test_a_joiner_in_mid_round_repeats_nobody_and_leaves_nobody_out(seed: int, after: int) -> None:
    rotation = Rotation(Random(seed))
    for peer in PEERS[:10]:
        rotation.add(peer)
    round_ = [rotation.next(always) for _ in range(after)]
    rotation.add(PEERS[10])
    rotation.add(PEERS[10])
    round_ += [rotation.next(always) for _ in range(10 - after)]
    assert len(set(round_)) == 10
    assert set(PEERS[:10]) - set(round_) <= {PEERS[9]} | set(PEERS[:10])


def test_joiners_enter_at_different_places() -> None:
    places = set()
    for seed in range(20):
        rotation = Rotation(Random(seed))
        for peer in PEERS[:6]:
            rotation.add(peer)
        places.add([rotation.next(always) for _ in range(6)].index(PEERS[5]))
    assert len(places) > 2


def test_the_unwanted_are_skipped_and_come_back_when_wanted_again() -> None:
    rotation = Rotation(Random(1))
    for peer in PEERS[:3]:
        rotation.add(peer)
    assert rotation.next(lambda peer: False) is None
    rotation.add(PEERS[1])
    assert [rotation.next(always), rotation.next(always)] == [PEERS[1], PEERS[1]]


def test_nobody_is_next_of_none() -> None:
    assert Rotation(Random(1)).next(always) is None
