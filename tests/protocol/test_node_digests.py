"""Digests of what everybody keeps ride in datagrams, and a stream is opened only where they differ or datagrams are lost."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from protocol.effects import Effect, SendDatagram, SendStream
from protocol.events import Booted, DatagramReceived, StreamReceived
from protocol.ids import Address, AuthorId, PeerId
from protocol.kernel import Now
from protocol.membership.options import LAN
from protocol.node import Node, NodeOptions
from protocol.wire.gossip import Ack, Alive, Ping, StreamAck
from protocol.wire.work import AccessRoot, CatalogRoot, CatalogVersions
from tests.protocol.making import ANNA, ME, card

THERE = Address("10.0.0.1", 7400)
ROOTS = (AccessRoot, CatalogRoot)


def node(*, blocked: bool = False) -> Node:
    """A peer that has just heard of Anna; with `blocked` her datagrams do not get through from now on."""
    dice = Random(7)
    options = NodeOptions(
        me=ME, author=AuthorId("a" * 16), run_epoch=1, address=Address("10.0.0.9", 7400), mesh_port=7401, nonce=bytes(8),
        token=lambda: dice.getrandbits(64), seed=1, card=card(capabilities=(), name="me"), swim=LAN,
    )  # fmt: skip
    made = Node(options)
    made.start(Booted((), {}), at(0))
    effects = made.handle(heard(Alive(ANNA, 1, 1, b"anna-now", THERE, 7401, b"", (1, 1))), at(0))
    if not blocked:
        answer_pings(made, effects, at(0))
    return made


def answer_pings(made: Node, effects: Sequence[Effect], now: Now) -> None:
    pings = [one for each in effects if isinstance(each, SendDatagram) for one in each.messages if isinstance(one, Ping)]
    for ping in pings:
        made.handle(heard(Ack(ping.seq, 7401)), now)


def at(seconds: float) -> Now:
    return Now(100.0 + seconds, 1_700_000_000_000)


def heard(*messages: Any, trusted: bool = True) -> DatagramReceived:
    return DatagramReceived(ANNA, THERE, trusted, messages, b"s" * 16)


def spoken(made: Node, seconds: float, kind: type[SendDatagram] | type[SendStream], *, blocked: bool = False) -> list[Any]:
    """The digests that go out in this way while time passes; with `blocked` no ping by datagram is answered."""
    found: list[Any] = []
    until_s, now = 100.0 + seconds, at(0)
    while (due_s := made.next_deadline()) is not None and due_s <= until_s:
        now = Now(max(due_s, now.monotonic_s), 0)
        effects = made.on_deadline(now)
        if not blocked:
            answer_pings(made, effects, now)
        for effect in effects:
            if isinstance(effect, SendStream) and hasattr(effect.message, "seq"):
                made.handle(StreamReceived(ANNA, StreamAck(effect.message.seq)), now)
            if isinstance(effect, kind):
                said = effect.messages if isinstance(effect, SendDatagram) else (effect.message,)
                found += [(type(one), PeerId(effect.peer or "")) for one in said if isinstance(one, ROOTS)]
    return found


@pytest.mark.parametrize("root", ROOTS)
def test_rounds_go_by_datagram(root: type):
    assert (root, ANNA) in spoken(node(), 8, SendDatagram)
    assert spoken(node(), 8, SendStream) == []


def test_rounds_go_by_stream_where_only_streams_get_through():
    made = node(blocked=True)
    assert made.swim.datagram_address(ANNA) == THERE
    assert {kind for kind, _ in spoken(made, 8, SendStream, blocked=True)} == set(ROOTS)
    assert made.swim.datagram_address(ANNA) is None


def test_a_digest_that_differs_is_answered_over_a_stream():
    made = node()
    (answer,) = [one for one in made.handle(heard(CatalogRoot(bytes(16))), at(0.1)) if isinstance(one, SendStream)]
    assert answer.peer == ANNA
    assert isinstance(answer.message, CatalogVersions)


def test_an_equal_digest_and_one_whose_freshness_is_not_proven_lead_to_nothing():
    made = node()
    assert [one for one in made.handle(heard(CatalogRoot(made.catalog.root())), at(0.1)) if isinstance(one, SendStream)] == []
    effects = made.handle(heard(CatalogRoot(bytes(16)), trusted=False), at(0.1))
    assert [one for one in effects if isinstance(one, SendStream)] == []
