from __future__ import annotations

import pytest

from protocol.ledger.copies import Copies, wanted_copies
from tests.protocol.making import ANNA, AUTHOR, BEN, begun, ended, facts, folded


def test_facts_leave_once_for_each_peer():
    copies = Copies(folded(*begun()))
    assert len(copies.news_for(ANNA)) == 4
    assert copies.news_for(ANNA) == []
    assert len(copies.news_for(BEN)) == 4


def test_what_was_never_confirmed_is_sent_again():
    copies = Copies(folded(*begun()))
    copies.news_for(ANNA)
    copies.heard(ANNA, {AUTHOR: 2}, {})
    copies.resend(ANNA)
    assert [fact.seq for fact in copies.news_for(ANNA)] == [3, 4]


def test_a_peer_that_was_only_written_to_is_no_copy():
    copies = Copies(folded(*begun()))
    copies.news_for(ANNA)
    assert copies.count({AUTHOR: 1}, [ANNA], with_bytes=False) == 0


def test_copies_count_with_bytes_only_where_the_bytes_are():
    copies = Copies(folded(*begun()))
    copies.heard(ANNA, {AUTHOR: 4}, {AUTHOR: 4})
    copies.heard(BEN, {AUTHOR: 4}, {})
    assert copies.count({AUTHOR: 1}, [ANNA, BEN], with_bytes=False) == 2
    assert copies.count({AUTHOR: 1}, [ANNA, BEN], with_bytes=True) == 1
    assert copies.count({AUTHOR: 1}, [BEN], with_bytes=True) == 0


def test_a_copy_is_synced_until_another_fact_is_written():
    fold = folded(*begun())
    copies = Copies(fold)
    assert copies.heard(ANNA, {AUTHOR: 4}, {AUTHOR: 4})
    assert not copies.heard(ANNA, {AUTHOR: 4}, {AUTHOR: 4}), "no news"
    assert copies.is_synced(ANNA)
    fold.add(facts(ended(1, 1), first=5)[0])
    assert not copies.is_synced(ANNA)


def test_a_restarted_peer_must_be_heard_again():
    copies = Copies(folded(*begun()))
    copies.heard(ANNA, {AUTHOR: 4}, {AUTHOR: 4})
    copies.forget(ANNA)
    assert not copies.is_synced(ANNA)
    assert len(copies.news_for(ANNA)) == 4


def test_who_sends_facts_holds_them():
    copies = Copies(folded(*begun()))
    assert not copies.holds_facts(ANNA)
    copies.told(ANNA, {AUTHOR: 4})
    assert copies.holds_facts(ANNA)
    assert not copies.is_synced(ANNA), "its bytes are another matter"
    assert copies.news_for(ANNA) == []


@pytest.mark.parametrize(
    ("durability", "peers", "copies"),
    [
        ("two", 1, 1),
        ("two", 5, 2),
        ("local", 5, 1),
        ("quorum", 1, 1),
        ("quorum", 2, 2),
        ("quorum", 9, 2),
        ("all", 2, 2),
        ("all", 9, 3),
    ],
)
def test_as_many_copies_as_were_asked_for(durability: str, peers: int, copies: int):
    assert wanted_copies(durability, peers=peers, replicas=3) == copies
