from __future__ import annotations

from protocol.ids import JobId
from protocol.ledger.placement import candidates, choose, weight
from tests.protocol.making import JOB, peer

PEERS = [peer(f"peer {n}") for n in range(8)]
HOSTS = {one: f"host {at // 2}" for at, one in enumerate(PEERS)}


def test_everybody_computes_the_same_order():
    assert candidates(JOB, PEERS) == candidates(JOB, PEERS[::-1])
    assert weight(JOB, PEERS[0]) == weight(JOB, PEERS[0])
    assert candidates(JOB, PEERS) != candidates(JobId("cd" * 16), PEERS)


def test_holders_stay_and_others_join_on_other_hosts():
    chosen = choose(JOB, PEERS, HOSTS, [PEERS[0]], 3)
    assert chosen[0] == PEERS[0]
    assert len({HOSTS[one] for one in chosen}) == 3


def test_one_host_is_enough_where_there_is_no_other():
    assert len(choose(JOB, PEERS[:2], HOSTS, [PEERS[0]], 3)) == 2


def test_when_a_peer_leaves_only_its_place_is_filled():
    before = choose(JOB, PEERS, {}, [], 3)
    after = choose(JOB, [one for one in PEERS if one != before[1]], {}, [before[0], before[2]], 3)
    assert {before[0], before[2]} < set(after)


def test_nobody_is_chosen_beyond_the_count():
    assert choose(JOB, PEERS, {}, PEERS[:5], 3) == PEERS[:3]
