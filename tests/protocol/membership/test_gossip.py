from __future__ import annotations

from itertools import pairwise

from protocol.effects import SendDatagram
from protocol.membership.options import LAN
from protocol.wire.gossip import Alive, Dead
from tests.protocol.membership.rig import A, B, C, D, alive, at, knowing, says, sent, swim


def test_nothing_is_said_while_nobody_listens() -> None:
    book = swim().forget().wait(10)
    book.expect_no(SendDatagram)


def test_gossip_reaches_the_recently_dead_but_not_the_long_dead() -> None:
    book = knowing(A, B)
    book.feed(says(B, Dead(A, 1, 1, B))).forget()
    book.wait(5).forget().feed(says(B, alive(C))).wait(2)
    assert alive(C) in sent(book, Alive, to=A)
    book.wait(LAN.gossip_to_dead_s).forget().feed(says(B, alive(D))).wait(2)
    assert alive(D) not in sent(book, Alive, to=A)
    assert alive(D) in sent(book, Alive, to=B)


def test_news_goes_to_at_most_the_fanout_per_tick_and_ticks_keep_their_distance() -> None:
    book = knowing(A, B, C, D).wait(30).forget()
    book.feed(*(says(peer, alive(peer, 2, meta=b"x" * 500)) for peer in (A, B, C, D)))  # two fit into a datagram
    times: list[float] = []
    for _ in range(60):
        book.wait(0.02)
        gossip = [effect for effect in book.take(SendDatagram) if all(isinstance(said, Alive) for said in effect.messages)]
        assert len(gossip) <= LAN.fanout
        times += [book.now_s] * bool(gossip)
    assert len(times) >= 2
    assert all(later - earlier > LAN.gossip_interval_s - 0.03 for earlier, later in pairwise(times))


def test_news_leaves_after_its_last_transmission_and_the_peer_falls_silent() -> None:
    book = knowing(A).wait(20).forget()
    book.feed(says(A, alive(A, 2))).wait(5)
    assert 1 <= sent(book, Alive).count(alive(A, 2)) <= 4
    assert at(A) in [effect.address for effect in book.take(SendDatagram)]
