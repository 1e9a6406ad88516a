"""A dead member that is said not to come back."""

from __future__ import annotations

from protocol.effects import Reply
from protocol.errors import Conflict, NotFound
from protocol.events import ForceLeaveAsked
from protocol.ids import PeerId, RequestId
from protocol.signals import MemberChanged
from protocol.wire.gossip import Dead, Left
from tests.protocol.membership.rig import ME, A, B, Talk, alive, says, sent, swim


def asked(book: Talk, peer: PeerId) -> object:
    book.feed(ForceLeaveAsked(RequestId("r"), peer))
    return book.expect(Reply).value


def test_a_dead_member_is_made_to_leave_and_the_others_hear_of_it():
    book = swim()
    book.feed(says(A, alive(A), alive(B)))
    book.feed(says(A, Dead(B, 1, 1, A)))
    book.forget()
    assert asked(book, B) is True
    assert book.expect(MemberChanged, peer=B).state == "left"
    book.wait(1)
    assert Left(B, 1, 1) in sent(book, Left)


def test_only_a_dead_member_can_be_made_to_leave():
    book = swim()
    book.feed(says(A, alive(A)))
    assert isinstance(asked(book, A), Conflict)
    assert isinstance(asked(book, ME), Conflict)
    assert isinstance(asked(book, B), NotFound)
    book.expect_no(MemberChanged, state="left")


def test_one_that_lives_all_the_same_comes_back():
    book = swim()
    book.feed(says(A, alive(A), alive(B)))
    book.feed(says(A, Dead(B, 1, 1, A)))
    assert asked(book, B) is True
    book.forget().feed(says(A, alive(B, 2)))
    assert book.expect(MemberChanged, peer=B).state == "alive"
