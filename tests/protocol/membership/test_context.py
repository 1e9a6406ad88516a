from __future__ import annotations

from random import Random

from protocol import limits
from protocol.effects import SendDatagram
from protocol.ids import PeerId
from protocol.membership.context import Context
from protocol.membership.members import Member
from protocol.membership.options import LAN
from protocol.wire.codec import encode_many
from protocol.wire.gossip import Ack, Nack, Ping
from tests.protocol.membership.rig import A, B, alive, at, mine


def context(*known: PeerId) -> Context:
    made = Context(me=mine(), options=LAN, random=Random(1), token=lambda: 7)
    for peer in known:
        made.members.add(Member(alive(peer), "alive", 1, 1, 0.0))
    return made


def only(made: Context) -> SendDatagram:
    (effect,) = made.drain()
    assert isinstance(effect, SendDatagram)
    return effect


def test_a_datagram_is_filled_with_news_and_never_overflows() -> None:
    made = context(A)
    for number in range(40):
        made.broadcasts.put(alive(PeerId(f"{number:064x}"), meta=bytes(number * 12)))
    made.datagram(A, at(A), Ping(1, A))
    effect = only(made)
    assert effect.messages[0] == Ping(1, A)
    assert limits.DATAGRAM_PAYLOAD_BYTES_MAX - 60 < len(encode_many(effect.messages)) <= limits.DATAGRAM_PAYLOAD_BYTES_MAX


def test_news_is_not_spent_on_strangers() -> None:
    made = context(A)
    made.broadcasts.put(alive(B))
    made.datagram(None, at(B), Nack(1))
    assert only(made).messages == (Nack(1),)


def test_what_is_said_anyway_is_not_said_twice() -> None:
    made = context(A)
    made.broadcasts.put(mine())
    made.datagram(A, at(A), Ack(1, 2), mine())
    assert only(made).messages == (Ack(1, 2), mine())


def test_with_nothing_to_say_nothing_is_sent() -> None:
    made = context(A)
    made.datagram(A, at(A))
    assert made.drain() == []


def test_i_announce_myself_in_a_higher_incarnation() -> None:
    made = context(A)
    made.say_again(incarnation=9, meta=b"new")
    assert made.me == mine(9, meta=b"new")
    assert made.broadcasts.about(made.me.peer) == (made.me,)
