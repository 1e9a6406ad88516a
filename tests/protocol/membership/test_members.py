from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.ids import PeerId
from protocol.membership.members import Member, Members
from protocol.membership.suspicion import Suspicion
from protocol.signals import MemberState
from tests.protocol.membership.rig import A, alive

PEERS = [PeerId(f"{number:064x}") for number in range(30)]
STATES: list[MemberState] = ["alive", "suspect", "dead", "left"]


def table(count: int) -> Members:
    members = Members()
    for peer in PEERS[:count]:
        members.add(member(peer))
    return members


def member(peer: PeerId) -> Member:
    return Member(alive(peer), "alive", 1, 1, 0.0)


@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(0, 6))
def test_a_draw_is_of_different_members_that_are_up_without_the_one(seed: int, count: int, wanted: int) -> None:
    members = table(count)
    drawn = [one.peer for one in members.draw(Random(seed), wanted, without=PEERS[0])]
    assert len(drawn) == len(set(drawn)) == min(wanted, max(0, count - 1))
    assert PEERS[0] not in drawn
    assert set(drawn) <= set(PEERS[:count])


def test_the_unsuspected_are_drawn_from_those_that_nobody_accuses() -> None:
    members = table(5)
    for peer in PEERS[1:3]:
        members.move(member_of(members, peer), "suspect", at_s=1.0, suspicion=Suspicion(1.0, A))
    drawn = [one.peer for one in members.draw_unsuspected(Random(1), 3, without=PEERS[0])]
    assert sorted(drawn) == PEERS[3:5]


def member_of(members: Members, peer: PeerId) -> Member:
    found = members.get(peer)
    assert found is not None
    return found


def test_the_same_dice_draw_the_same() -> None:
    assert table(30).draw(Random(7), 3) == table(30).draw(Random(7), 3)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(STATES))))
def test_a_member_is_either_up_or_down_whatever_happens(moves: list[tuple[int, MemberState]]) -> None:
    members = table(10)
    for at_s, (number, state) in enumerate(moves):
        one = members.get(PEERS[number])
        assert one is not None
        suspicion = Suspicion(at_s, A) if state == "suspect" else None
        members.move(one, state, at_s=at_s, suspicion=suspicion)
    up = [one.peer for one in members.up()]
    down = [one.peer for one in members.down()]
    assert sorted(up + down) == PEERS[:10]
    assert all(one.up for one in members.up())
    assert not any(one.up for one in members.down())
    assert set(members.suspects) == {one.peer for one in members if one.state == "suspect"}
    assert members.live == len(up) + 1


def test_the_lately_dead_come_with_the_latest_first() -> None:
    members = table(5)
    for at_s in (1, 2, 3):
        members.move(members.get(PEERS[at_s]) or member(A), "dead", at_s=at_s)
    members.move(members.get(PEERS[4]) or member(A), "left", at_s=4)
    assert [one.peer for one in members.lately_dead(since_s=2)] == [PEERS[3], PEERS[2]]


def test_a_table_is_full_until_one_that_is_down_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEMBERS_MAX", 3)
    members = table(3)
    assert members.is_full
    for number in (2, 1):
        members.move(members.get(PEERS[number]) or member(A), "dead", at_s=5)
    assert [one.peer for one in members.down()] == [PEERS[2], PEERS[1]]
    members.forget(PEERS[2])
    assert not members.is_full
    assert members.get(PEERS[2]) is None


def test_an_accusation_outlives_the_news_that_it_is_about() -> None:
    one = member(A)
    one.incarnation = 9
    assert one.news().alive.incarnation == 9
    assert one.view().incarnation == 9
