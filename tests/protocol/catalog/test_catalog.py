"""Every peer's records reach every other peer, whatever is lost, and nobody else writes them."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest

from protocol import limits
from protocol.catalog.catalog import Catalog
from protocol.events import StreamReceived
from protocol.ids import Address, PeerId
from protocol.kernel import Now
from protocol.signals import CatalogChanged, MemberChanged, MemberForgotten, MemberState, Publish, Send
from protocol.wire.work import CatalogDelta, CatalogRoot, CatalogVersions
from tests.playbook import Playbook
from tests.protocol.making import ANNA, BEN, CARL, ME, sent


def member(who: PeerId, state: MemberState = "alive") -> MemberChanged:
    return MemberChanged(who, state, 1, Address("10.0.0.1", 7400), 7401, b"")


def begin(*peers: PeerId, me: PeerId = ME, run_epoch: int = 1) -> Playbook:
    book = Playbook(Catalog(me=me, run_epoch=run_epoch, random=Random(1)))
    return book.feed(*(member(one) for one in peers)).forget()


def delta(writer: PeerId, epoch: int, base: int, *records: tuple[str, bytes | None]) -> CatalogDelta:
    rows = tuple((writer, base + at, key, value) for at, (key, value) in enumerate(records, start=1))
    return CatalogDelta(((writer, epoch, base, base + len(records)),), rows)


def test_a_change_is_pushed_at_once_and_the_same_again_is_not():
    book = begin(ANNA, BEN).feed(Publish("card", b"1"), Publish("card", b"1"))
    assert {one.peer for one in book.take(Send)} == {ANNA, BEN}
    assert book.take(CatalogChanged) == [CatalogChanged(ME, "card", b"1")]
    assert book.machine.get(ME, "card") == b"1"


def test_what_others_say_is_taken_in_order():
    book = begin(ANNA).feed(StreamReceived(ANNA, delta(ANNA, 1, 0, ("a", b"1"), ("b", b"2"))))
    book.feed(StreamReceived(ANNA, delta(ANNA, 1, 2, ("a", None))))
    assert book.take(CatalogChanged)[-1] == CatalogChanged(ANNA, "a", None)
    assert book.machine.get(ANNA, "b") == b"2"


def test_a_gap_is_not_taken_but_asked_about():
    book = begin(ANNA).feed(StreamReceived(ANNA, delta(ANNA, 1, 5, ("a", b"1"))))
    book.expect_no(CatalogChanged)
    assert sent(book, CatalogVersions, ANNA)
    book.feed(StreamReceived(ANNA, delta(ANNA, 1, 0, *((f"k{at}", b"") for at in range(6)))))
    assert len(book.take(CatalogChanged)) == 6


def test_a_writer_that_starts_again_under_its_old_epoch_hears_what_it_has_said_before():
    """Its disk was put back, with the count of its starts; its numbers pass by those of the records that it does not know."""
    book = begin(ANNA).feed(StreamReceived(ANNA, delta(ANNA, 1, 0, ("a", b"1"), ("b", b"2"), ("a", b"3")))).forget()
    again = begin(ME, me=ANNA).feed(Publish("a", b"4"))
    book.feed(StreamReceived(ANNA, sent(again, CatalogDelta, ME)[0]))
    (known,) = sent(book, CatalogDelta, ANNA)
    assert (known.spans, known.records) == (((ANNA, 1, 3, 3),), ())
    again.feed(StreamReceived(ME, known), Publish("c", b"5"), Publish("d", b"6"))
    for told in sent(again, CatalogDelta, ME):
        book.feed(StreamReceived(ANNA, told))
    for asked in sent(book, CatalogVersions, ANNA):
        again.feed(StreamReceived(ME, asked))
    for told in sent(again, CatalogDelta, ME):
        book.feed(StreamReceived(ANNA, told))
    assert [book.machine.get(ANNA, key) for key in "abcd"] == [b"4", None, b"5", b"6"]


def test_old_news_is_ignored():
    new = delta(ANNA, 1, 0, ("a", b"1"), ("a", b"2"))
    book = begin(ANNA).feed(StreamReceived(ANNA, new)).forget().feed(StreamReceived(BEN, delta(ANNA, 1, 0, ("a", b"1"))))
    book.expect_no(CatalogChanged)
    assert book.machine.get(ANNA, "a") == b"2"


def test_a_restarted_writer_replaces_everything_it_said_before():
    book = begin(ANNA).feed(StreamReceived(ANNA, delta(ANNA, 1, 0, ("a", b"1"), ("b", b"1")))).forget()
    book.feed(StreamReceived(ANNA, delta(ANNA, 2, 0, ("b", b"2"))))
    assert book.take(CatalogChanged) == [CatalogChanged(ANNA, "a", None), CatalogChanged(ANNA, "b", b"2")]
    book.feed(StreamReceived(BEN, delta(ANNA, 1, 2, ("a", b"9")))).expect_no(CatalogChanged)


def test_nobody_writes_in_our_name():
    book = begin(ANNA).feed(StreamReceived(ANNA, delta(ME, 99, 0, ("card", b"forged")))).expect_no(CatalogChanged)
    assert book.machine.get(ME, "card") is None


def test_rounds_compare_roots_with_one_peer_and_stop_when_nobody_is_there():
    book = begin(ANNA).wait(3.0)
    assert len(sent(book, CatalogRoot, ANNA)) >= 2
    book.feed(member(ANNA, "dead")).wait(3.0)
    assert book.machine.next_deadline() is None


def test_equal_roots_end_a_round_and_different_ones_lead_to_what_is_missing():
    book = begin(ANNA).feed(Publish("card", b"1")).forget()
    assert not book.feed(StreamReceived(ANNA, CatalogRoot(book.machine.root()))).take(Send)
    book.feed(StreamReceived(ANNA, CatalogRoot(bytes(16))))
    assert sent(book, CatalogVersions, ANNA)[0].reply
    book.feed(StreamReceived(ANNA, CatalogVersions((), reply=True)))
    assert sent(book, CatalogDelta, ANNA)[0].records == ((ME, 1, "card", b"1"),)


def test_in_a_large_mesh_only_a_few_are_told_at_once():
    book = begin(*(PeerId(f"{at:064x}") for at in range(limits.CATALOG_PUSH_PEERS + 1))).feed(Publish("card", b"1"))
    assert len(book.take(Send)) == 3


def test_much_is_sent_in_messages_that_fit_and_each_is_complete_in_itself():
    book = begin(ANNA)
    for at in range(100):
        book.feed(Publish(f"job/{at}", bytes(60_000)))
    book.forget().feed(StreamReceived(ANNA, CatalogVersions((), reply=True)))
    deltas = sent(book, CatalogDelta, ANNA)
    assert len(deltas) > 1
    taker = begin(ME, me=ANNA)
    for one in deltas:
        assert sum(len(value or b"") for *_, value in one.records) < limits.MESSAGE_BYTES_MAX
        taker.feed(StreamReceived(ME, one))
    assert all(taker.machine.get(ME, f"job/{at}") == bytes(60_000) for at in range(100))


# ---- members that are forgotten -----------------------------------------------------------------------------------


def told_and_gone(state: MemberState) -> Playbook:
    """A peer to which Anna has said something before she died or left."""
    book = begin(ANNA, BEN).feed(StreamReceived(ANNA, delta(ANNA, 1, 0, ("a", b"1"), ("b", b"2"), ("a", None))))
    return book.feed(member(ANNA, state)).forget()


@pytest.mark.parametrize("state", ["dead", "left"])
def test_what_the_gone_have_said_is_kept_until_they_are_forgotten(state: MemberState):
    book = told_and_gone(state)
    assert book.machine.get(ANNA, "b") == b"2"
    book.feed(MemberForgotten(ANNA))
    assert book.out == [CatalogChanged(ANNA, "b", None)]
    assert book.machine.get(ANNA, "b") is None
    assert ANNA not in book.machine._writers


def test_the_forgotten_are_not_taken_back_from_others_until_they_are_members_again():
    book = told_and_gone("dead").feed(MemberForgotten(ANNA)).forget()
    book.feed(StreamReceived(BEN, CatalogVersions(((ANNA, 1, 3), (ME, 1, 0)), reply=True)))
    assert not sent(book, CatalogVersions)  # nothing is asked for
    book.feed(StreamReceived(BEN, delta(ANNA, 1, 0, ("b", b"2")))).feed(StreamReceived(BEN, delta(ANNA, 2, 4, ("b", b"2"))))
    assert book.out == []
    assert ANNA not in book.machine._writers
    book.feed(member(ANNA))
    assert sent(book, CatalogVersions, ANNA)[0].reply  # she is asked herself
    book.feed(StreamReceived(ANNA, delta(ANNA, 1, 0, ("b", b"2"))))
    assert book.take(CatalogChanged) == [CatalogChanged(ANNA, "b", b"2")]


def test_the_gone_are_not_brought_to_whoever_does_not_know_them_and_a_round_ends_there():
    ours = told_and_gone("dead")
    theirs = begin(ME, me=BEN)  # it has started since, or has forgotten her
    ours.feed(StreamReceived(BEN, delta(BEN, 1, 0, ("c", b"3")))).feed(Publish("card", b"1"))
    theirs.feed(Publish("c", b"3"), StreamReceived(ME, delta(ME, 1, 0, ("card", b"1"))))
    assert ours.machine.root() == theirs.machine.root()
    ours.forget().feed(StreamReceived(BEN, CatalogVersions(((BEN, 1, 1), (ME, 1, 1)), reply=True)))
    assert not sent(ours, CatalogDelta)


def test_the_last_words_of_the_gone_reach_those_who_know_them():
    book = told_and_gone("dead")
    book.feed(StreamReceived(BEN, CatalogVersions(((ANNA, 1, 1), (BEN, 1, 0), (ME, 1, 0)), reply=True)))
    assert [one.spans for one in sent(book, CatalogDelta, BEN)] == [((ANNA, 1, 1, 3),)]


def test_nobody_s_records_are_kept_before_membership_knows_them():
    book = begin(BEN).feed(StreamReceived(BEN, delta(ANNA, 1, 0, ("a", b"1"))))
    assert (book.take(CatalogChanged), sent(book, CatalogVersions)) == ([], [])


class Mesh:
    """Catalogues that write to each other through a lossy wire, without membership."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.peers = (ME, ANNA, BEN, CARL)
        self.runs = dict.fromkeys(self.peers, 0)
        self.catalogs: dict[PeerId, Catalog] = {}
        self.wire: deque[tuple[PeerId, PeerId, object]] = deque()
        self.now_s = 0.0
        for one in self.peers:
            self.start(one)

    def start(self, one: PeerId) -> None:
        self.runs[one] += 1
        self.catalogs[one] = Catalog(me=one, run_epoch=self.runs[one], random=Random(self.random.random()))
        for other in self.peers:
            if other != one:
                self.feed(one, member(other))

    def feed(self, one: PeerId, event: object) -> None:
        outputs = self.catalogs[one].handle(event, Now(self.now_s, 0))  # type: ignore[arg-type]
        self.wire.extend((one, out.peer, out.message) for out in outputs if isinstance(out, Send))

    def deliver(self, loss: float) -> None:
        while self.wire:
            source, target, message = self.wire.popleft()
            if self.random.random() >= loss:
                self.feed(target, StreamReceived(source, message))  # type: ignore[arg-type]

    def round(self, loss: float) -> None:
        self.now_s += 1.5
        for one, catalog in self.catalogs.items():
            outputs = catalog.on_deadline(Now(self.now_s, 0))
            self.wire.extend((one, out.peer, out.message) for out in outputs if isinstance(out, Send))
        self.deliver(loss)


@pytest.mark.parametrize("seed", range(20))
def test_after_losses_and_restarts_all_agree(seed: int):
    mesh = Mesh(seed)
    for step in range(60):
        one = mesh.random.choice(mesh.peers)
        if mesh.random.random() < 0.1:
            mesh.start(one)
        value = None if mesh.random.random() < 0.2 else f"{step}".encode()
        mesh.feed(one, Publish(f"key {mesh.random.randint(1, 5)}", value))
        mesh.deliver(0.5)
    for _ in range(12):
        mesh.round(0.0)
    assert len({catalog.root() for catalog in mesh.catalogs.values()}) == 1
    for writer in mesh.peers:
        said = [[catalog.get(writer, f"key {at}") for at in range(1, 6)] for catalog in mesh.catalogs.values()]
        assert all(one == said[0] for one in said)


def test_whose_disk_is_an_older_one_replaces_what_it_has_said_since():
    """Others hold records that it does not know of, under numbers that it gives anew."""
    book = begin(ANNA).feed(Publish("card", b"new")).forget()
    book.feed(StreamReceived(ANNA, CatalogVersions(((ME, 1, 1),), reply=False)))
    assert book.machine.root() == begin(ANNA).feed(Publish("card", b"new")).machine.root(), "this is what it has said"
    book.feed(StreamReceived(ANNA, CatalogVersions(((ME, 3, 7),), reply=False)))
    [told] = sent(book, CatalogDelta, ANNA)
    assert told.spans == ((ME, 4, 0, 1),)
    theirs = begin(ME, me=ANNA).feed(StreamReceived(ME, delta(ME, 3, 0, ("card", b"old"), ("gone", b"1")))).forget()
    theirs.feed(StreamReceived(ME, told))
    assert (theirs.machine.get(ME, "card"), theirs.machine.get(ME, "gone")) == (b"new", None)
    book.forget().feed(StreamReceived(ANNA, CatalogVersions(((ME, limits.EPOCH_MAX, 1),), reply=False)))
    book.feed(StreamReceived(ANNA, CatalogVersions((), reply=False)))
    assert [one.spans for one in sent(book, CatalogDelta, ANNA)] == [((ME, 4, 0, 1),)]
