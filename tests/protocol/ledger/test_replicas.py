from __future__ import annotations

from protocol.ids import AuthorId, PeerId
from protocol.kernel import Now
from protocol.ledger.facts import Owner, ReplicaSet
from protocol.ledger.held import HeldJob
from protocol.ledger.replicas import Replicas
from tests.protocol.making import ANNA, BEN, CARL, CRITICAL, JOB, ME, begun, card, changed, facts, fence

NOW, LATER = Now(10.0, 1), Now(100.0, 1)


def mesh(*peers: PeerId) -> Replicas:
    known = Replicas(me=ME, host="here", run_epoch=1, count=3)
    for one in peers:
        known.heard(changed(one), NOW)
    return known


def owned(*replicas: PeerId) -> HeldJob:
    held = HeldJob(JOB)
    bodies = begun()
    recorded = ReplicaSet(fence(), 1, (ME, *replicas))
    for fact in facts(*bodies[:2], recorded, bodies[3]):
        held.fold.add(fact)
    return held


def sync(held: HeldJob, *peers: PeerId) -> None:
    for one in peers:
        held.copies.heard(one, held.fold.versions, held.fold.versions)


def test_news_that_changes_nothing_is_told_apart_from_a_new_run():
    known = mesh(ANNA)
    assert known.heard(changed(ANNA), NOW) is None
    assert known.heard(changed(ANNA, run_epoch=2), NOW) is True
    assert known.heard(changed(ANNA, "dead", run_epoch=2), NOW) is False
    assert known.heard(changed(ANNA, run_epoch=2), NOW) is True, "it is back: what it holds must be heard"
    assert known.heard(changed(ME), NOW) is None


def test_draining_and_critical_peers_are_no_holders():
    known = mesh(ANNA, BEN)
    known.heard(changed(ANNA, with_card=card(draining=True)), NOW)
    known.heard(changed(BEN, with_card=card(checks=(CRITICAL,))), NOW)
    assert known.others() == []
    assert known.is_live(ANNA)


def test_a_synced_peer_is_recorded_and_nobody_else():
    held, known = owned(), mesh(ANNA, BEN)
    assert known.to_record(held, NOW) is None
    sync(held, ANNA)
    assert known.to_record(held, NOW) == (ME, ANNA)


def test_a_dead_replica_is_dropped_only_after_its_grace_and_with_enough_others():
    held, known = owned(ANNA), mesh(ANNA, BEN, CARL)
    known.heard(changed(ANNA, "dead"), NOW)
    sync(held, BEN)
    assert known.to_record(held, LATER) == (ME, ANNA, BEN), "two of three hold it: nobody is dropped"
    sync(held, CARL)
    assert known.to_record(held, NOW) == (ME, ANNA, BEN, CARL)
    assert known.to_record(held, LATER) == (ME, BEN, CARL)


def test_who_left_is_dropped_at_once():
    held, known = owned(ANNA), mesh(ANNA, BEN, CARL)
    known.heard(changed(ANNA, "left"), NOW)
    sync(held, BEN, CARL)
    assert known.to_record(held, NOW) == (ME, BEN, CARL)


def test_a_replica_that_came_back_and_is_not_needed_any_more_is_let_go():
    held, known = owned(ANNA, BEN, CARL), mesh(ANNA, BEN, CARL)
    sync(held, ANNA, BEN, CARL)
    assert known.to_record(held, NOW) == (ME, ANNA, BEN)


def test_an_owner_brings_facts_to_those_that_should_hold_them():
    held, known = owned(), mesh(ANNA, BEN, CARL)
    assert len(known.targets(held)) == 2
    sync(held, *known.targets(held))
    assert known.lacking(held) == []


def test_who_owned_the_job_once_brings_its_facts_to_the_owner():
    held, known = owned(), mesh(ANNA, BEN)
    held.fold.add(facts(Owner(fence(ANNA, 2)), first=5)[0])
    assert known.targets(held) == [ANNA]
    assert known.lacking(held) == [ANNA]
    held.copies.told(ANNA, held.fold.versions)
    assert known.lacking(held) == []


def test_a_mere_replica_brings_what_it_knows_to_the_owner_and_to_nobody_else():
    known, held = mesh(ANNA, BEN), HeldJob(JOB)
    for fact in facts(*begun(owner=ANNA)):
        held.fold.add(fact)
    assert known.targets(held) == [ANNA]
    assert known.lacking(held) == [ANNA]
    held.copies.told(ANNA, held.fold.versions)
    assert known.lacking(held) == [], "who sent it holds it"


def test_an_owner_asks_whoever_knows_more_than_it_does():
    held, known = owned(), mesh(ANNA)
    sync(held, ANNA)
    assert known.lacking(held) == []
    held.copies.heard(ANNA, {**held.fold.versions, AuthorId("f" * 16): 3}, held.fold.versions)
    assert known.lacking(held) == [ANNA]


def test_a_rival_is_asked_until_its_ownership_is_a_fact_here_though_it_holds_everything_else():
    held, known = owned(ANNA), mesh(ANNA)
    sync(held, ANNA)
    held.rival = ANNA
    assert known.lacking(held) == [ANNA]
    held.rival = None
    assert known.lacking(held) == []


def test_who_drains_or_is_critical_may_not_own_and_who_is_suspected_may():
    known = mesh(ANNA, BEN)
    known.heard(changed(ANNA, "suspect"), NOW)
    known.heard(changed(BEN, with_card=card(draining=True)), NOW)
    known.heard(changed(ME, with_card=card(draining=True)), NOW)
    assert known.can_own(ANNA)
    assert not known.can_own(BEN)
    assert not known.can_own(ME)
    assert not known.can_own(CARL), "nobody has heard of it"
    known.heard(changed(ANNA, "left"), NOW)
    assert known.has_left(ANNA)
    assert not known.can_own(ANNA)


def test_a_dead_owner_is_waited_for():
    held, known = owned(), mesh(ANNA)
    held.fold.add(facts(Owner(fence(ANNA, 2)), first=5)[0])
    known.heard(changed(ANNA, "dead"), NOW)
    assert known.targets(held) == []


def test_whom_membership_has_forgotten_is_dropped_when_no_job_names_it():
    held, known = owned(ANNA), mesh(ANNA, BEN, CARL)
    held.fold.add(facts(Owner(fence(CARL, 2)), first=5)[0])
    for one in (ANNA, BEN, CARL):
        known.heard(changed(one, "dead"), NOW)
        known.forgotten(one)
    known.sweep([held], ())
    assert [known.is_known(one) for one in (ANNA, BEN, CARL)] == [True, False, True]
    known.sweep([], (CARL,))
    assert [known.is_known(one) for one in (ANNA, CARL)] == [False, True], "heard to own a job that is held here"
    known.sweep([], ())
    assert len(known) == 1
    assert known.is_known(ME)


def test_a_recorded_replica_that_membership_has_forgotten_stays_recorded_until_it_is_replaced():
    held, known = owned(ANNA), mesh(ANNA, BEN, CARL)
    known.heard(changed(ANNA, "dead"), NOW)
    known.forgotten(ANNA)
    known.sweep([held], ())
    sync(held, BEN)
    assert known.to_record(held, LATER) == (ME, ANNA, BEN), "two of three hold it: nobody is dropped"
    sync(held, CARL)
    assert known.to_record(held, LATER) == (ME, BEN, CARL)


def test_who_comes_back_after_it_was_forgotten_is_nobody_to_drop():
    known = mesh(ANNA)
    known.heard(changed(ANNA, "dead"), NOW)
    known.forgotten(ANNA)
    assert known.heard(changed(ANNA, run_epoch=2), NOW) is True
    known.sweep([], ())
    assert known.is_live(ANNA)


def test_this_peer_itself_and_the_unknown_are_never_forgotten():
    known = mesh()
    known.forgotten(ME)
    known.forgotten(ANNA)
    known.sweep([], ())
    assert known.is_live(ME)
