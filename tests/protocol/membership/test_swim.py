from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.effects import Notice, SendDatagram
from protocol.events import Booted, DatagramReceived, DrainAsked, HealthChanged, StreamReceived, UndrainAsked
from protocol.kernel import Now
from protocol.signals import MemberChanged
from protocol.wire.codec import encode_many
from protocol.wire.gossip import Ack, Alive, Left, Ping, Suspect
from tests.protocol.membership.rig import ME, SALT, A, B, C, alive, at, incarnation, knowing, mine, says, sent, state, swim
from tests.protocol.wire.strategies import datagram_messages, stream_gossip


def test_what_is_not_about_membership_changes_nothing() -> None:
    book = swim().forget()
    before = book.machine.next_deadline()
    assert book.machine.handle(HealthChanged(()), book.now) == []
    assert book.machine.next_deadline() == before


def test_a_deadline_that_is_not_due_is_harmless() -> None:
    book = knowing(A).wait(3)
    due_s = book.machine.next_deadline()
    assert due_s > book.now_s
    assert book.machine.on_deadline(book.now) == []
    assert book.machine.next_deadline() == due_s


def test_before_it_boots_it_wants_no_deadline() -> None:
    book = swim(boot=False)
    assert book.machine.next_deadline() is None
    book.feed(Booted((), {}), Booted((), {}))
    assert book.machine.next_deadline() is not None


def test_members_and_the_living_are_listed_with_myself_in_order() -> None:
    book = knowing(B, A)
    book.feed(says(A, Left(B, 1, 1)))
    assert [(view.peer, view.state) for view in book.machine.members()] == [(ME, "alive"), (A, "alive"), (B, "left")]
    assert book.machine.live() == [ME, A]


def test_new_metadata_of_mine_is_announced_and_the_same_is_not() -> None:
    book = knowing(A)
    book.out += book.machine.set_meta(b"m", book.now)
    assert incarnation(book) == 1
    book.out += book.machine.set_meta(b"new", book.now)
    assert book.machine.me().meta == b"new"
    book.wait(1)
    assert mine(2, meta=b"new") in sent(book, Alive, to=A)


def test_a_mixed_mesh_speaks_the_highest_common_version() -> None:
    book = knowing(A)
    assert book.machine.common_version() == 1
    book.machine._ctx.me = replace(book.machine._ctx.me, versions=(1, 5))
    book.feed(says(A, alive(A, 2, versions=(1, 4)), alive(B, versions=(2, 3))))
    assert book.machine.common_version() == 3
    book.feed(says(A, Left(B, 1, 1)))
    assert book.machine.common_version() == 4
    book.feed(says(A, alive(C, versions=(7, 9))))
    assert book.machine.common_version() == 1  # nothing in common: our lowest


def test_the_versions_of_each_member_can_be_read() -> None:
    book = knowing(A)
    book.feed(says(A, alive(A, 2, versions=(1, 4))))
    assert [book.machine.versions_of(peer) for peer in (ME, A, B)] == [(1, 1), (1, 4), None]


def test_leaving_is_said_to_everybody_and_ends() -> None:
    book = knowing(A, B)
    book.feed(DrainAsked(leave=False))
    assert not sent(book, Left)
    book.feed(DrainAsked(leave=True), DrainAsked(leave=True))
    assert sent(book, Left, to=A) == sent(book, Left, to=B) == [Left(ME, 5, 1)]
    assert not book.machine.departed
    book.wait(3)
    assert book.machine.departed
    assert len(book.take(Notice, event="member_departed")) == 1


def test_nobody_is_probed_or_blamed_while_leaving_and_pings_are_still_answered() -> None:
    book = knowing(A, B)
    book.silent = (A, B)
    book.wait(1.4).feed(DrainAsked(leave=True)).forget().wait(10)
    assert sent(book, Ping) == []
    book.expect_no(MemberChanged)
    book.feed(says(A, Ping(7, ME, Suspect(ME, 5, 1, A, False))))
    assert Ack(7, 7_001) in sent(book, Ack)
    assert incarnation(book) == 1  # no refutation: I am leaving


def test_alone_there_is_nobody_to_say_goodbye_to() -> None:
    book = swim().feed(DrainAsked(leave=True))
    assert book.machine.departed


def test_who_stays_after_all_comes_back_in_a_higher_incarnation() -> None:
    book = knowing(A)
    book.feed(DrainAsked(leave=True)).wait(5).feed(UndrainAsked())
    assert not book.machine.departed
    assert book.machine.me().state == "alive"
    book.wait(1)
    assert mine(2) in sent(book, Alive, to=A)


@pytest.mark.parametrize("jump_ms", [-(10**12), 10**12])
def test_the_wall_clock_may_jump_as_it_likes(jump_ms: int) -> None:
    def run(jump: int) -> list[Any]:
        book = knowing(A, B)
        outcome: list[Any] = []
        for step in range(40):
            wall_ms = 1_700_000_000_000 + (jump if step >= 20 else 0)
            outcome.append(book.machine.on_deadline(Now(book.now_s, wall_ms)))
            outcome.append(book.machine.handle(says(A, Ping(step, ME)), Now(book.now_s, wall_ms)))
            book.now_s += 0.25
        return outcome

    assert run(0) == run(jump_ms)
    assert sum(map(len, run(0)[41:])) > 20


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([A, B, ME]), st.booleans(), st.lists(datagram_messages, max_size=4), stream_gossip), max_size=8
    )
)
def test_no_message_whatever_breaks_the_machine_or_a_datagram(said: list[Any]) -> None:
    book = knowing(A, B)
    before = incarnation(book)
    for sender, trusted, messages, stream in said:
        book.feed(DatagramReceived(sender, at(A), trusted, tuple(messages), SALT), StreamReceived(sender, stream)).wait(0.7)
    for effect in book.take(SendDatagram):
        encode_many(effect.messages)
    assert incarnation(book) >= before
    assert state(book, ME) == "alive"


def test_replayed_and_reordered_datagrams_change_nothing() -> None:
    story = [says(B, alive(A, 2)), says(B, Suspect(A, 1, 2, B, False)), says(A, alive(A, 3)), says(A, Left(A, 1, 3))]
    book = knowing(A, B)
    book.feed(*story)
    told = [(change.peer, change.state) for change in book.take(MemberChanged)]
    assert told == [(A, "suspect"), (A, "alive"), (A, "left")]
    for event in (*story, *reversed(story)):
        book.feed(event)
    book.expect_no(MemberChanged)
    assert (state(book, A), incarnation(book, A)) == ("left", 3)
