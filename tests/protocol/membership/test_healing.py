from __future__ import annotations

from itertools import pairwise

import pytest

from protocol import limits
from protocol.effects import Notice, Persist, SendDatagram, SendStream
from protocol.events import DrainAsked, SeedsFound, UndrainAsked
from protocol.ids import Address, PeerId
from protocol.membership.snapshot import KEY, read_snapshot, write_snapshot
from protocol.records import PutValue
from protocol.signals import MemberChanged, MemberForgotten
from protocol.wire.gossip import Ack, Dead, Left, MemberNews, Ping, PushPull, Suspect, SyncVersions
from tests.protocol.membership.mesh import Mesh, address
from tests.protocol.membership.rig import ME, A, B, C, D, Talk, alive, at, incarnation, knowing, says, sent, state, streams, swim

SEED = at(A)


def joins(book: Talk) -> list[Address]:
    """Addresses that join pings went to."""
    datagrams = book.take(SendDatagram, peer=None)
    return [one.address for one in datagrams if any(isinstance(said, Ping) and said.target is None for said in one.messages)]


def persisted(book: Talk) -> list[tuple[Address, ...]]:
    rows = [row for effect in book.take(Persist) for row in effect.records]
    return [read_snapshot(row.value) for row in rows if isinstance(row, PutValue) and row.key == KEY]


def test_a_seed_is_pinged_at_once_with_my_own_news_and_again_until_somebody_answers() -> None:
    book = swim().forget()
    book.feed(SeedsFound((SEED,))).wait(0)
    datagram = book.expect(SendDatagram, address=SEED, peer=None)
    assert [type(message) for message in datagram.messages] == [Ping, type(book.machine._ctx.me)]
    book.wait(5)
    assert len(joins(book)) >= 4
    book.wait(60)
    assert 10 <= len(joins(book)) <= 22


def test_the_answer_of_a_seed_brings_a_member_and_an_exchange_of_everything() -> None:
    book = swim().forget()
    book.feed(SeedsFound((SEED,))).wait(0)
    (ping,) = sent(book, Ping)
    book.feed(says(A, Ack(ping.seq, 7_001), Ping(9, ME), alive(A), trusted=False))
    assert state(book, A) == "alive"
    stream = book.expect(SendStream)
    assert (stream.peer, stream.address, stream.urgent) == (A, Address(SEED.host, 7_001), True)
    assert isinstance(stream.message, PushPull)
    assert stream.message.everything
    book.forget().wait(30)
    assert joins(book) == []


def test_the_mesh_port_of_a_seed_is_learned_from_its_ack() -> None:
    book = swim().forget()
    book.feed(SeedsFound((SEED,))).wait(0)
    (ping,) = sent(book, Ping)
    book.feed(says(A, Ack(ping.seq, 4_444)))
    assert book.expect(SendStream).address == Address(SEED.host, 4_444)


def test_a_join_ping_is_answered_with_who_i_am() -> None:
    book = swim().forget()
    book.feed(says(A, Ping(7, None), alive(A), trusted=False))
    said = book.expect(SendDatagram, address=at(A)).messages
    assert Ack(7, 7_001) in said
    assert book.machine._ctx.me in said


def test_my_own_address_among_the_seeds_is_dropped() -> None:
    book = swim().forget()
    elsewhere = Address("127.0.0.1", 7_000)
    book.feed(SeedsFound((at(ME), elsewhere))).wait(0)
    (ping,) = sent(book, Ping)
    book.feed(says(ME, ping, book.machine._ctx.me, trusted=False))
    book.forget().wait(30)
    assert joins(book) == []
    book.feed(SeedsFound((elsewhere,))).wait(1)
    assert joins(book) == []
    book.expect_no(Notice, event="member_duplicate_id")


def test_another_process_with_my_id_at_a_seed_is_answered_asked_and_told_apart_once_it_has_answered() -> None:
    book = swim().forget()
    other = alive(ME, epoch=5, nonce=b"copied!!", address=at(B))
    book.feed(says(ME, Ping(123, None), other, trusted=False))
    book.expect_no(Notice, event="member_duplicate_id")
    (ack,) = sent(book, Ack)
    assert ack.seq == 123
    challenge = next(ping for ping in reversed(sent(book, Ping)) if ping.target == ME)
    book.forget().feed(says(ME, Ack(challenge.seq + 1, 7_001), other, trusted=False))
    book.expect_no(Notice, event="member_duplicate_id")
    book.feed(says(ME, Ack(challenge.seq, 7_001), other, trusted=False))
    assert book.expect(Notice, event="member_duplicate_id").level == "error"


def test_a_seed_behind_which_a_member_lives_is_left_alone_until_it_dies() -> None:
    book = knowing(A, B)
    book.feed(SeedsFound((at(A),))).wait(10)
    assert joins(book) == []
    book.feed(says(B, Dead(A, 1, 1, B))).wait(6)
    assert SEED in joins(book)


def test_seeds_are_bounded_and_the_oldest_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEEDS_MAX", 2)
    book = swim().forget()
    book.feed(SeedsFound(tuple(at(peer) for peer in (A, B, C)))).wait(0)
    assert joins(book) == [at(B), at(C)]


def test_a_flood_of_discovered_addresses_does_not_drive_out_a_seed_that_was_given_by_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "SEEDS_MAX", 8)
    mesh = Mesh()
    mesh.start(0)
    mesh.feed(0, SeedsFound((address(1),), lasting=True))
    for second in range(30):  # there is nobody at any of them
        mesh.feed(0, SeedsFound(tuple(address(1_000 + 4 * second + number) for number in range(4))))
        mesh.run(2)
    mesh.start(1)  # which knows nobody
    assert mesh.run_until(mesh.all_alive, 30) is not None


def test_without_room_a_lasting_seed_drives_out_the_others_first_and_nothing_drives_out_the_last_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "SEEDS_MAX", 2)
    book = swim().forget()

    def asked() -> set[Address]:
        book.forget().wait(30)
        return set(joins(book))

    book.feed(SeedsFound((at(A), at(B))))
    book.feed(SeedsFound((at(B),), lasting=True))  # discovered first, and given by hand as well
    book.feed(SeedsFound((at(C),)))
    assert asked() == {at(B), at(C)}
    book.feed(SeedsFound((at(D),), lasting=True))
    assert asked() == {at(B), at(D)}
    book.feed(SeedsFound((at(A),)))
    assert asked() == {at(B), at(D)}
    book.feed(SeedsFound((at(A),), lasting=True))
    assert len(asked()) == 2
    assert at(A) in asked()


def test_one_dead_member_is_asked_every_3_to_5_seconds_the_latest_first() -> None:
    book = knowing(A, B, C)
    book.feed(says(C, Dead(A, 1, 3, C))).wait(0.5)
    book.feed(says(C, Dead(B, 1, 1, C))).forget()
    book.silent = (A, B)
    times: list[float] = []
    asked: list[PeerId | None] = []
    while len(asked) < 4:
        book.wait(0.25)
        for ping in sent(book, Ping):
            if ping.target in (A, B):
                asked.append(ping.target)
                times.append(book.now_s)
                assert ping.suspicion == Suspect(ping.target, 1, 3 if ping.target == A else 1, ME, False)
        book.take(SendDatagram)
    assert asked == [B, A, B, A]
    assert all(2.7 <= later - earlier <= 5.3 for earlier, later in pairwise(times[1:]))


def test_a_dead_member_that_answers_is_pulled_from_and_comes_back_by_its_own_refutation() -> None:
    book = knowing(A, B)
    book.feed(says(B, Dead(A, 1, 3, B))).forget()
    book.wait(6)
    assert state(book, A) == "dead"
    pulls = [effect for effect in book.take(SendStream, peer=A) if isinstance(effect.message, PushPull)]
    assert pulls
    book.feed(says(A, alive(A, 4)))
    assert state(book, A) == "alive"


def test_the_long_dead_are_forgotten_and_the_left_too() -> None:
    book = knowing(A, B, C)
    book.feed(says(C, Dead(A, 1, 1, C)), says(B, Left(B, 1, 1)))
    book.silent = (A,)
    book.now_s += limits.DEAD_FORGOTTEN_S - 10
    book.feed(says(C, alive(C, 2))).wait(5)
    assert (state(book, A), state(book, B)) == ("dead", "left")
    book.expect_no(MemberForgotten)
    book.wait(15)
    assert (state(book, A), state(book, B)) == ("unknown", "unknown")
    assert {one.peer for one in book.take(MemberForgotten)} == {A, B}
    book.forget().feed(says(C, alive(A, 2)))
    assert book.expect(MemberChanged, peer=A).state == "alive"


def test_the_forgotten_are_not_learned_again_from_whoever_still_holds_them_for_dead() -> None:
    book = knowing(A, B)
    book.feed(says(B, Dead(A, 1, 1, B)))
    book.silent = (A,)
    book.now_s += limits.DEAD_FORGOTTEN_S + 1
    book.feed(says(B, alive(B, 2))).wait(10).forget()
    book.feed(streams(B, PushPull((MemberNews(alive(A), "dead"),), (), False)), says(B, Dead(A, 1, 1, B)))
    book.feed(streams(B, SyncVersions(((A, 1, 1, "dead"), (B, 1, 2, "alive")))))
    assert state(book, A) == "unknown"
    book.expect_no(MemberChanged, peer=A)
    assert not [one for one in book.take(SendStream, peer=B) if isinstance(one.message, PushPull) and A in one.message.wanted]


def test_known_addresses_are_saved_soon_and_not_too_often() -> None:
    book = knowing(A, B)
    book.wait(1.5)
    assert persisted(book) == [(at(A), at(B))]
    book.feed(says(A, alive(C))).wait(5)
    assert persisted(book) == []
    book.wait(6)
    assert persisted(book) == [(at(A), at(B), at(C))]
    book.feed(says(A, alive(A, 7, meta=b"other"))).wait(30)
    assert persisted(book) == []  # the addresses are the same


def test_the_dead_stay_in_the_snapshot_and_the_left_do_not() -> None:
    book = knowing(A, B, C)
    book.feed(says(C, Dead(A, 1, 1, C)), says(B, Left(B, 1, 1)))
    book.wait(2)
    assert persisted(book)[-1] == (at(C), at(A))


def test_a_restart_rejoins_through_its_snapshot_without_seeds() -> None:
    book = swim(values={KEY: write_snapshot([at(A), at(B)])}).wait(0)
    assert joins(book) == [at(A), at(B)]
    assert incarnation(book) == 1


def test_a_torn_snapshot_is_told_and_does_no_harm() -> None:
    book = swim(values={KEY: write_snapshot([at(A), at(B)])[:-3]}).wait(1)
    assert book.expect(Notice, event="member_snapshot_unreadable").level == "warning"
    assert joins(book) == []


def test_a_planned_end_keeps_the_snapshot_and_only_an_explicit_leave_clears_it() -> None:
    for for_good, kept in ((False, True), (True, False)):
        mesh = Mesh().start_many(3)
        assert KEY in mesh.peers[2].values
        mesh.feed(2, DrainAsked(leave=True, for_good=for_good))
        mesh.run(20)
        assert (KEY in mesh.peers[2].values) is kept


def test_who_stays_after_all_saves_again_what_it_had_forgotten() -> None:
    mesh = Mesh().start_many(3)
    mesh.feed(2, DrainAsked(leave=True, for_good=True))
    mesh.run(1)
    mesh.feed(2, UndrainAsked())
    mesh.run(20)
    assert KEY in mesh.peers[2].values
