from __future__ import annotations

from protocol import limits
from protocol.effects import SendDatagram
from protocol.events import DrainAsked
from protocol.ids import Address, PeerId
from protocol.wire.gossip import Ack, Dead, MemberNews, Ping, PushPull
from tests.protocol.membership.rig import A, B, C, D, Talk, alive, knowing, mine, says, streams


def given_a_table(*peers: PeerId) -> Talk:
    """A peer that knows A, right after A has told it of these."""
    book = knowing(A)
    book.silent = (A, B, C, D)
    book.feed(streams(A, PushPull(tuple(MemberNews(alive(peer), "alive") for peer in peers), (), False)))
    return book.wait(0)


def told(book: Talk) -> list[PeerId | None]:
    """Who has been told who I am, with a ping that asks for an answer, since the last look."""
    datagrams = book.take(SendDatagram)
    return [one.peer for one in datagrams if mine() in one.messages and isinstance(one.messages[0], Ping)]


def test_those_first_heard_of_from_a_whole_table_are_told_who_i_am() -> None:
    book = given_a_table(A, B, C)
    assert sorted(filter(None, told(book))) == [B, C]
    book.feed(streams(A, PushPull((MemberNews(alive(B), "alive"),), (), False))).wait(0)
    assert told(book) == []


def test_who_does_not_answer_or_does_not_believe_is_told_again_a_few_times() -> None:
    book = given_a_table(A, B, C)
    seqs = {one.peer: one.messages[0].seq for one in book.take(SendDatagram) if isinstance(one.messages[0], Ping)}
    book.feed(says(B, Ack(seqs[B], 7_001)))  # it believes
    book.feed(says(C, Ack(seqs[C], 7_001), Ping(77, C)))  # it does not yet
    book.wait(10)
    assert [peer for peer in told(book) if peer in (B, C)] == [C] * 4
    book.wait(30)
    assert told(book) == []


def test_who_is_gone_and_who_leaves_need_no_introduction() -> None:
    book = given_a_table(A, B, C)
    book.feed(says(A, Dead(B, 1, 1, A))).take(SendDatagram)
    book.wait(0.35)
    assert told(book) == [C]
    book.feed(DrainAsked(leave=True)).wait(1)
    assert told(book) == []


def test_however_many_are_in_a_table_a_few_are_told_who_i_am() -> None:
    book = knowing(A)
    many = [PeerId(f"{number:064x}") for number in range(1, 101)]
    news = tuple(MemberNews(alive(peer, address=Address("10.1.0.1", 1_000 + at)), "alive") for at, peer in enumerate(many))
    gone = tuple(MemberNews(alive(peer), "left") for peer in map(PeerId, (f"{number:064x}" for number in range(500, 1_500))))
    book.feed(streams(A, PushPull((*gone, MemberNews(mine(), "alive"), *news), (), False))).wait(0)
    assert len(told(book)) == limits.JOIN_TOLD_DIRECTLY_MAX < len(many)
