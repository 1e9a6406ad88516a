from __future__ import annotations

from protocol.cards import PeerCard, card_from_bytes, card_to_bytes
from protocol.catalog.roster import Roster
from protocol.events import DrainAsked, HealthChanged, RenderersFound, UndrainAsked
from protocol.ids import Address, PeerId
from protocol.signals import (
    CatalogChanged,
    MemberChanged,
    MemberForgotten,
    MemberState,
    PeerChanged,
    Publish,
    SlotsUsed,
    TrustChanged,
)
from tests.playbook import Playbook
from tests.protocol.making import ANNA, BLENDER, ME, NULL, card

HERE = Address("10.0.0.9", 7400)


def begin() -> Playbook:
    return Playbook(Roster(me=ME, run_epoch=1, address=HERE, mesh_port=7401, card=card(name="me", capabilities=())))


def told(publish: Publish) -> PeerCard:
    assert publish.value is not None
    return card_from_bytes(publish.value)


def member(who: PeerId = ANNA, state: MemberState = "alive") -> MemberChanged:
    return MemberChanged(who, state, 3, Address("10.0.0.1", 7400), 7444, b"")


def test_a_peer_says_who_it_is_first_of_all():
    publish, changed = begin().machine.start()
    assert isinstance(publish, Publish)
    assert told(publish).name == "me"
    assert (changed.peer, changed.live) == (ME, True)


def test_membership_and_card_are_joined_whichever_comes_first():
    said = CatalogChanged(ANNA, "card", card_to_bytes(card(name="anna")))
    for events in ((member(), said), (said, member())):
        book = begin().feed(*events)
        changed = book.take(PeerChanged)[-1]
        assert (changed.peer, changed.run_epoch, changed.host) == (ANNA, 3, "10.0.0.1")
        assert changed.card is not None
        assert changed.card.name == "anna"


def test_a_card_that_cannot_be_read_leaves_the_peer_known_by_its_id():
    book = begin().feed(member(), CatalogChanged(ANNA, "card", b"garbage"))
    assert book.machine.card_of(ANNA) is None
    assert [view.name for view in book.machine.views({}) if view.id == ANNA] == [ANNA[:8]]


def test_streams_go_to_the_living():
    book = begin().feed(member())
    assert book.machine.stream_address(ANNA) == Address("10.0.0.1", 7444)
    book.feed(member(state="suspect"))
    assert book.machine.live() == sorted([ANNA, ME])
    book.feed(member(state="dead"))
    assert book.machine.stream_address(ANNA) is None
    assert book.machine.state(ANNA) == "dead"


def test_the_forgotten_are_no_longer_listed_and_come_back_as_new_ones():
    said = CatalogChanged(ANNA, "card", card_to_bytes(card(name="anna")))
    book = begin().feed(member(), said, member(state="dead"), MemberForgotten(ANNA), MemberForgotten(ME))
    assert [view.id for view in book.machine.views({})] == [ME]
    assert (book.machine.state(ANNA), book.machine.card_of(ANNA)) == (None, None)
    book.forget().feed(member())
    assert book.expect(PeerChanged, peer=ANNA).card is None


def test_what_this_peer_can_do_and_how_it_is_are_told_at_once():
    book = begin().feed(RenderersFound((NULL, BLENDER), ("no GPU",)))
    assert told(book.expect(Publish)).capabilities == (NULL, BLENDER)
    book.feed(HealthChanged((("disk", "critical", "full"),)))
    assert told(book.expect(Publish)).critical
    book.feed(DrainAsked(False))
    assert told(book.expect(Publish)).draining
    book.feed(UndrainAsked()).feed(UndrainAsked())
    assert len(book.take(Publish)) == 1


def test_free_slots_are_told_at_once_after_a_quiet_time_and_then_once_a_second():
    book = begin().feed(SlotsUsed(0), SlotsUsed(1), SlotsUsed(0), SlotsUsed(1))
    assert [told(one).slots_free for one in book.take(Publish)] == [0]
    assert [one.card.slots_free for one in book.take(PeerChanged) if one.card] == [0, 1, 0, 1], "this peer itself knows at once"
    book.wait(1.1)
    assert [told(one).slots_free for one in book.take(Publish)] == [1]
    book.wait(5.0)
    assert book.take(Publish) == []
    assert book.machine.next_deadline() is None


def test_nobody_else_says_who_we_are():
    book = begin().feed(member(ME, "dead"), CatalogChanged(ME, "card", card_to_bytes(card(name="forged"))))
    assert book.out == []
    assert book.machine.card_of(ME).name == "me"


def test_the_dead_have_no_free_slots():
    book = begin().feed(member(), CatalogChanged(ANNA, "card", card_to_bytes(card(name="anna"))), member(state="dead"))
    (view,) = [view for view in book.machine.views({ANNA: 2.0}) if view.id == ANNA]
    assert (view.state, view.slots_total, view.slots_free, view.rtt_ms) == ("dead", 1, 0, 2.0)


def test_what_speaks_against_a_peer_is_a_check_that_everybody_sees_and_nobody_publishes():
    book = begin().feed(member(), CatalogChanged(ANNA, "card", card_to_bytes(card(name="anna")))).forget()
    book.feed(TrustChanged(ANNA, "frame 7 is wrong", None))
    seen = book.expect(PeerChanged, peer=ANNA).card
    assert seen is not None
    assert seen.distrusted
    assert seen.critical
    assert book.machine.card_of(ANNA) == seen
    (view,) = [view for view in book.machine.views({}) if view.id == ANNA]
    assert view.checks == ({"name": "pixels", "status": "critical", "output": "frame 7 is wrong"},)
    book.feed(TrustChanged(ME, "so am I", None))
    book.expect_no(Publish)
    book.feed(HealthChanged((("disk", "passing", ""),)))
    assert not told(book.expect(Publish)).distrusted
    book.forget().feed(TrustChanged(ANNA, "", None))
    trusted = book.expect(PeerChanged, peer=ANNA).card
    assert trusted is not None
    assert not trusted.critical
