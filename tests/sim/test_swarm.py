"""A swarm behaves like a mesh that has grown, shares rows without mixing them up, and gives up in time."""

from __future__ import annotations

import pytest

from protocol.membership.members import Member
from tests.sim import swarm
from tests.sim.__main__ import main
from tests.sim.swarm import GaveUp, SharedNames, SharedPlaces, SharedRows, Swarm, news, peer_id


def rows(count: int) -> dict:
    return {peer_id(number): Member(news(number), "alive", 1, 1, 0.0) for number in range(count)}


def test_everybody_knows_everybody_at_the_start_and_nobody_talks_much() -> None:
    made = Swarm(40)
    assert all(len(peer.swim.members()) == 40 for peer in made.peers.values())
    quiet = made.quiet(20)
    assert 100 < quiet.datagram_bytes < 400
    assert {view.state for peer in made.peers.values() for view in peer.swim.members()} == {"alive"}


def test_a_join_and_a_death_are_known_to_all_soon() -> None:
    made = Swarm(40)
    joined, died = made.join(), made.die()
    assert joined.known_s is not None
    assert joined.known_s[2] < 5
    assert died.known_s is not None
    assert died.known_s[2] < 10
    assert all(len(peer.swim.members()) == 41 for peer in made.peers.values())


def test_bytes_at_no_churn_do_not_grow_with_the_mesh() -> None:
    small, large = (Swarm(count).quiet(30) for count in (20, 200))
    assert large.datagram_bytes + large.stream_bytes < 1.1 * (small.datagram_bytes + small.stream_bytes)


def test_the_same_seed_gives_the_same_figures() -> None:
    assert Swarm(30, seed=5).join() == Swarm(30, seed=5).join() != Swarm(30, seed=6).join()


def test_a_row_that_is_looked_up_to_be_changed_is_its_own() -> None:
    shared = rows(4)
    one, other = (SharedRows(shared, peer_id(number)) for number in (0, 1))
    assert (len(one), peer_id(0) in one, one.get(peer_id(0))) == (3, False, None)
    assert one[peer_id(2)] is other[peer_id(2)]
    mine = one.get(peer_id(2))
    assert mine is not None
    mine.incarnation = 9
    assert (one[peer_id(2)].incarnation, other[peer_id(2)].incarnation) == (9, 1)
    one[peer_id(7)] = mine
    del one[peer_id(3)]
    assert (len(one), len(list(one.values())), peer_id(3) in one, one.get(peer_id(3))) == (3, 3, False, None)


def test_places_are_those_of_the_common_order_without_oneself() -> None:
    places = SharedPlaces({peer_id(number): number for number in range(5)}, 2)
    assert [places.pop(peer_id(number)) for number in (0, 1, 3, 4)] == [0, 1, 2, 3]
    places[peer_id(4)] = 1
    assert places.pop(peer_id(4)) == 1
    names = SharedNames({peer_id(1): 1})
    names[peer_id(2)] = None
    assert [peer_id(number) in names for number in (1, 2, 3)] == [True, True, False]


def test_it_gives_up_when_time_is_over_or_somebody_never_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swarm, "_LOOK_EVERY", 10)
    with pytest.raises(GaveUp, match="given up"):
        Swarm(20, wall_s_max=0.0).quiet(10)
    made = Swarm(20)
    monkeypatch.setattr(swarm, "WITHIN_S", 0.001)
    with pytest.raises(GaveUp, match="did not hear"):
        made.die()


def test_the_command_prints_what_it_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swarm, "PEERS_MIN", 30)
    assert main(["--peers", "30"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[1:4]] == ["nothing happens", "one joins", "one dies"]
