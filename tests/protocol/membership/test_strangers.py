from __future__ import annotations

import pytest

from protocol import limits
from protocol.effects import BelieveSalt, SendDatagram
from protocol.ids import Address
from protocol.wire.gossip import Ack, Alive, Dead, Ping, PingReq, Suspect
from tests.protocol.membership.rig import ME, SALT, A, B, C, alive, at, incarnation, knowing, next_ping, says, sent, state, swim


def test_an_unproven_ping_is_answered_and_challenged_and_nothing_else() -> None:
    book = knowing(B)
    book.feed(says(A, Ping(7, ME), alive(A), Dead(B, 1, 1, A), PingReq(8, B, at(B)), trusted=False))
    (datagram,) = book.take(SendDatagram)
    assert datagram.address == at(A)
    assert [message for message in datagram.messages if isinstance(message, Ack)] == [Ack(7, 7_001)]
    (challenge,) = [message for message in datagram.messages if isinstance(message, Ping)]
    assert challenge.target == A
    assert (state(book, A), state(book, B)) == ("unknown", "alive")
    book.expect_no(BelieveSalt)


def test_the_echo_of_the_challenge_proves_the_salt_and_releases_what_was_said() -> None:
    book = knowing(B)
    book.feed(says(A, Ping(7, ME), alive(A), trusted=False))
    (challenge,) = sent(book, Ping)
    book.feed(says(A, Ack(challenge.seq, 7_001), alive(C), trusted=False))
    book.expect(BelieveSalt, peer=A, salt=SALT)
    assert (state(book, A), state(book, C)) == ("alive", "alive")


def test_the_echo_under_another_salt_proves_that_salt_only() -> None:
    book = knowing(B)
    book.feed(says(A, Ping(7, ME), alive(A), trusted=False))
    (challenge,) = sent(book, Ping)
    book.feed(says(A, Ack(challenge.seq, 7_001), trusted=False, salt=b"other" * 3 + b"!"))
    book.expect(BelieveSalt, salt=b"other" * 3 + b"!")
    assert state(book, A) == "unknown"  # what came under the first salt may be a recording


@pytest.mark.parametrize("seq", [0, 1, 7, 2**40 + 10_000])
def test_an_echo_of_nothing_that_we_said_proves_nothing(seq: int) -> None:
    book = knowing(B)
    book.feed(says(A, Ack(seq, 7_001), alive(A), trusted=False))
    book.expect_no(BelieveSalt)
    assert state(book, A) == "unknown"


def test_another_peer_s_echo_of_the_challenge_proves_nothing() -> None:
    book = knowing(B)
    book.feed(says(A, Ping(7, ME), alive(A), trusted=False))
    (challenge,) = sent(book, Ping)
    book.feed(says(C, Ack(challenge.seq, 7_001), trusted=False))
    book.expect_no(BelieveSalt)


def test_gossip_of_a_stranger_is_challenged_once_a_second_where_it_came_from() -> None:
    book = knowing(B)
    for _ in range(3):
        book.feed(says(A, alive(C), trusted=False))
    assert len(sent(book, Ping, to=A)) == 1
    book.forget().wait(1.1).forget().feed(says(A, alive(C), trusted=False))
    assert len(sent(book, Ping, to=A)) == 1


def test_an_answer_to_a_probe_proves_the_salt_too() -> None:
    book = knowing(A)
    _, ping = next_ping(book)
    book.feed(says(A, Ack(ping.seq, 7_001), alive(B), trusted=False))
    book.expect(BelieveSalt, peer=A)
    assert state(book, B) == "alive"


def test_an_accusation_of_a_stranger_is_refuted_only_after_the_proof() -> None:
    book = knowing(A)
    book.feed(says(A, Ping(7, ME, Suspect(ME, 5, 1, A, False)), trusted=False))
    assert incarnation(book) == 1
    (challenge,) = sent(book, Ping)
    book.feed(says(A, Ack(challenge.seq, 7_001), trusted=False))
    assert incarnation(book) == 2


def test_what_waits_for_a_proof_is_bounded_in_number_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STRANGERS_HELD_MAX", 2)
    monkeypatch.setattr(limits, "MESSAGES_HELD_PER_STRANGER_MAX", 1)
    book = swim().forget()
    for number in range(9):
        book.feed(says(A, alive(A), alive(B), trusted=False, salt=bytes([number]) * 16))
    waiting = book.machine._strangers._waiting
    assert len(waiting) == 2
    assert all(len(stranger.held) == 1 for stranger in waiting.values())
    (challenge,) = sent(book, Ping)[-1:]
    book.silent = (A,)
    book.wait(6).feed(says(A, Ack(challenge.seq, 7_001), trusted=False, salt=bytes([8]) * 16))
    book.expect(BelieveSalt)
    assert state(book, A) == "unknown"


def test_an_address_is_never_learned_from_where_a_packet_came_from() -> None:
    book = knowing(A)
    spoofed = says(A, Ping(7, ME), alive(A, 1))
    book.feed(type(spoofed)(A, Address("203.0.113.9", 9), True, spoofed.messages, SALT))
    assert book.expect(SendDatagram).address == Address("203.0.113.9", 9)  # the answer goes there
    assert next(view.address for view in book.machine.members() if view.peer == A) == at(A)
    assert not [said for said in sent(book, Alive) if said.address == Address("203.0.113.9", 9)]
