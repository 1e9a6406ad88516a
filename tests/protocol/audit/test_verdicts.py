from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.audit.verdicts import (
    VERDICTS_KEY,
    Pardon,
    Sayings,
    Verdict,
    Verdicts,
    sayings_from_bytes,
    sayings_to_bytes,
)
from protocol.effects import Notice, Persist, Reply
from protocol.errors import Conflict, Malformed
from protocol.events import Booted, ReadmitAsked
from protocol.ids import PeerId, RequestId
from protocol.signals import CatalogChanged, PeerRefuted, Publish, TrustChanged
from tests.playbook import Playbook
from tests.protocol.making import ANNA, BEN, CARL, JOB, ME

REQUEST = RequestId("r")


def site(me: PeerId = ME) -> Playbook:
    return Playbook(Verdicts(me=me))


def refuted(who: PeerId) -> PeerRefuted:
    return PeerRefuted(who, JOB, 7, (BEN, CARL))


def said(*verdicts: Verdict, pardons: tuple[Pardon, ...] = ()) -> bytes:
    return sayings_to_bytes(Sayings(verdicts, pardons))


def word(who: PeerId, number: int = 1) -> Verdict:
    return Verdict(who, number, JOB, 7, (BEN, CARL), 1000)


def trust(book: Playbook) -> list[tuple[PeerId, bool, Any]]:
    return [(one.peer, not one.reason, one.job) for one in book.take(TrustChanged)]


def test_a_refuted_peer_is_not_trusted_durably_and_everybody_hears_why() -> None:
    book = site().feed(refuted(ANNA))
    assert [type(one) for one in book.out] == [Persist, Publish, Notice, TrustChanged]
    published = book.expect(Publish, key=VERDICTS_KEY)
    reason = book.expect(Notice, event="peer_distrusted").fields["reason"]
    assert "frame 7" in reason
    assert JOB[:8] in reason
    assert trust(book) == [(ANNA, False, JOB)]
    other = site(BEN).feed(CatalogChanged(ME, VERDICTS_KEY, published.value))
    assert trust(other) == [(ANNA, False, JOB)]
    assert other.machine.against(ANNA) == book.machine.against(ANNA)


def test_a_verdict_outlives_its_author_s_restart_and_is_told_as_an_old_one() -> None:
    book = site().feed(refuted(ANNA))
    [record] = book.expect(Persist).records
    again = site().feed(Booted((), {record.key: record.value}))  # type: ignore[union-attr]
    assert trust(again) == [(ANNA, False, None)]
    again.expect(Publish, key=VERDICTS_KEY)
    broken = site().feed(Booted((), {VERDICTS_KEY: b"?"}))
    broken.expect(Notice, event="verdicts_unreadable")
    assert broken.machine.against(ANNA) is None


def test_a_peer_is_let_in_again_everywhere_by_any_other_than_itself() -> None:
    owner = site().feed(refuted(ANNA))
    verdict = owner.expect(Publish).value
    other = site(BEN).feed(CatalogChanged(ME, VERDICTS_KEY, verdict)).forget().feed(ReadmitAsked(REQUEST, ANNA))
    assert [type(one) for one in other.out] == [Persist, Publish, Notice, TrustChanged, Reply]
    pardon = other.expect(Publish).value
    assert trust(other) == [(ANNA, True, None)]
    owner.forget().feed(CatalogChanged(BEN, VERDICTS_KEY, pardon))
    assert trust(owner) == [(ANNA, True, None)]
    itself = site(ANNA).feed(CatalogChanged(ME, VERDICTS_KEY, verdict)).forget().feed(ReadmitAsked(REQUEST, ANNA))
    assert isinstance(itself.expect(Reply).value, Conflict)
    assert itself.machine.against(ANNA) is not None


def test_what_else_was_under_way_against_it_adds_nothing() -> None:
    book = site().feed(refuted(ANNA)).forget().feed(PeerRefuted(ANNA, JOB, 8, (BEN, CARL)))
    assert book.out == []
    book.feed(CatalogChanged(BEN, VERDICTS_KEY, said(word(ANNA))))
    assert book.out == []


def test_a_pardon_by_the_peer_that_it_is_for_does_not_count() -> None:
    book = site().feed(refuted(ANNA)).forget()
    book.feed(CatalogChanged(ANNA, VERDICTS_KEY, said(pardons=(Pardon(ME, ANNA, 99),))))
    assert trust(book) == []
    assert book.machine.against(ANNA) is not None


def test_who_lies_again_is_out_again() -> None:
    book = site().feed(refuted(ANNA), ReadmitAsked(REQUEST, ANNA)).forget().feed(refuted(ANNA))
    assert trust(book) == [(ANNA, False, JOB)]


def test_the_word_of_a_peer_that_is_distrusted_here_does_not_count() -> None:
    book = site().feed(refuted(ANNA)).forget()
    book.feed(CatalogChanged(ANNA, VERDICTS_KEY, said(word(BEN))))
    assert trust(book) == []
    book.feed(CatalogChanged(CARL, VERDICTS_KEY, said(word(BEN))))
    assert trust(book) == [(BEN, False, JOB)]


def test_what_an_author_takes_back_or_takes_along_counts_no_more() -> None:
    book = site().feed(CatalogChanged(ANNA, VERDICTS_KEY, said(word(BEN)))).forget()
    book.feed(CatalogChanged(ANNA, VERDICTS_KEY, b"?"))
    assert trust(book) == []
    book.feed(CatalogChanged(ANNA, VERDICTS_KEY, None))
    assert trust(book) == [(BEN, True, None)]
    book.feed(ReadmitAsked(REQUEST, BEN))
    assert book.expect(Reply).value is True
    book.expect_no(Persist)


@given(st.binary(max_size=200))
def test_any_bytes_are_sayings_or_malformed(data: bytes) -> None:
    try:
        sayings_from_bytes(data)
    except Malformed:
        return


def test_sayings_come_back_from_their_bytes() -> None:
    whole = Sayings((word(ANNA, 3), word(BEN)), (Pardon(CARL, ANNA, 2),))
    assert sayings_from_bytes(sayings_to_bytes(whole)) == whole
    with pytest.raises(Malformed):
        sayings_from_bytes(b"")
