"""Whose turn it is to take a job over, and when."""

from __future__ import annotations

from typing import Any

import pytest

from protocol import limits
from protocol.ids import PeerId
from protocol.kernel import Now
from protocol.ledger.facts import Body, Closed, Control, Owner, ReplicaSet, Retried
from protocol.ledger.held import HeldJob
from protocol.ledger.replicas import Replicas
from protocol.ledger.succession import (
    Succession,
    claim,
    claim_after_boot,
    claim_holds,
    failed_in_error,
    greatest_fence,
    takeover_bodies,
    to_ask,
)
from protocol.signals import PeerChanged
from tests.protocol.making import (
    ANNA,
    BEN,
    CARL,
    CRITICAL,
    JOB,
    ME,
    begun,
    card,
    changed,
    ended,
    facts,
    failed,
    fence,
    folded,
    job_view,
)


def at(seconds: float) -> Now:
    return Now(1000.0 + seconds, 1)


def held_of(*replicas: PeerId, more: tuple[Body, ...] = ()) -> HeldJob:
    """A job that Anna owns, kept by Anna and `replicas`."""
    held = HeldJob(JOB)
    first = begun(owner=ANNA)
    for fact in facts(first[0], first[1], ReplicaSet(fence(ANNA), 2, (ANNA, *replicas)), first[3], *more):
        held.fold.add(fact)
    return held


def mesh(*news: PeerChanged) -> Replicas:
    known = Replicas(me=ME, host="here", run_epoch=1, count=3)
    for one in (changed(ANNA), changed(BEN), changed(CARL), *news):
        known.heard(one, at(0))
    return known


def turn(held: HeldJob, known: Replicas, heard: Any = None, *, until: float = 200.0) -> tuple[float | None, float | None]:
    """After how many seconds this peer asks, and takes over; nobody answers."""
    succession, asked, now = Succession(me=ME), None, 0.0
    while now <= until:
        match succession.look(held, known, heard, at(now)):
            case "ask":
                asked = now
            case "take":
                return asked, now
        next_at = succession.next_at()
        if next_at is None:
            return asked, None
        now = max(next_at - 1000.0, now + 0.001)
    return asked, None


def test_the_first_recorded_replica_asks_at_once_and_takes_over_a_moment_later():
    asked, taken = turn(held_of(ME, BEN), mesh(changed(ANNA, "dead")))
    assert asked == 0.0
    assert taken == pytest.approx(limits.MERGE_S, abs=0.01)


def test_the_second_waits_for_the_first_to_do_it_and_not_for_one_that_is_gone():
    assert turn(held_of(BEN, ME), mesh(changed(ANNA, "left")))[0] == pytest.approx(limits.HEIR_TURN_S, abs=0.01)
    assert turn(held_of(BEN, ME), mesh(changed(ANNA, "left"), changed(BEN, "dead")))[0] == 0.0
    assert turn(held_of(BEN, ME), mesh(changed(ANNA, "left"), changed(BEN, with_card=card(draining=True))))[0] == 0.0


@pytest.mark.parametrize("state", ["alive", "suspect"])
def test_who_is_there_or_merely_suspected_keeps_its_jobs(state: Any):
    assert turn(held_of(ME), mesh(changed(ANNA, state))) == (None, None)


def test_an_owner_that_comes_back_in_time_keeps_its_jobs():
    succession, held, known = Succession(me=ME), held_of(ME), mesh(changed(ANNA, "dead"))
    assert succession.look(held, known, None, at(0)) == "ask"
    known.heard(changed(ANNA, run_epoch=2), at(0.5))
    assert succession.look(held, known, None, at(2.0)) == "wait"
    assert succession.next_at() is None


def test_a_holder_that_is_no_replica_adopts_when_no_replica_does():
    nobody = mesh(changed(ANNA, "dead"), changed(BEN, "dead"))
    asked, taken = turn(held_of(BEN), nobody)
    assert asked is not None
    assert limits.ADOPT_S <= asked <= limits.ADOPT_S + limits.ADOPT_RANKS_MAX * limits.MERGE_S
    assert taken is not None
    later, _ = turn(held_of(BEN), mesh(changed(ANNA, "dead")))
    assert later is not None
    assert later >= asked + limits.HEIR_TURN_S - limits.MERGE_S, "a replica that lives comes first"


@pytest.mark.parametrize("unfit", [card(draining=True), card(checks=(CRITICAL,))])
def test_an_owner_that_drains_or_is_critical_hands_over_to_a_replica(unfit: Any):
    asked, taken = turn(held_of(ME), mesh(changed(ANNA, with_card=unfit)))
    assert asked == pytest.approx(limits.HANDOVER_WAIT_S, abs=0.01)
    assert taken is not None


def test_who_cannot_own_takes_nothing_over():
    assert turn(held_of(ME), mesh(changed(ANNA, "dead"), changed(ME, with_card=card(draining=True)))) == (None, None)


def test_an_owner_that_nobody_has_heard_of_since_our_start_may_be_starting_itself():
    unknown = Replicas(me=ME, host="here", run_epoch=1, count=3)
    asked, _ = turn(held_of(ME), unknown)
    assert asked == pytest.approx(limits.OWNER_UNHEARD_S, abs=0.01)


def test_an_ended_job_is_taken_over_after_the_grace_of_its_dead_owner_and_soon_after_a_goodbye():
    closed = Closed("completed", fence(ANNA), 0, 2000)
    assert turn(held_of(ME, more=(closed,)), mesh(changed(ANNA, "dead")))[0] == pytest.approx(limits.REPLICA_GRACE_S, abs=0.01)
    assert turn(held_of(ME, more=(closed,)), mesh(changed(ANNA, "left")))[0] == 0.0


def test_hearsay_of_a_greater_owner_counts_when_it_is_there_and_when_it_is_gone():
    held = held_of(ME)
    there = job_view(owner=BEN, epoch=5)
    assert greatest_fence(held, there) == fence(BEN, 5)
    assert turn(held, mesh(changed(ANNA, "dead")), there) == (None, None)
    asked, _ = turn(held, mesh(changed(BEN, "dead")), there)
    assert asked == pytest.approx(limits.HEIR_TURN_S, abs=0.01), "Anna, the first replica, is there"


def test_an_owner_whose_greater_rival_has_died_raises_itself():
    held = HeldJob(JOB)
    for fact in facts(*begun()):
        held.fold.add(fact)
    assert turn(held, mesh(), None) == (None, None)
    assert turn(held, mesh(changed(BEN, "dead")), job_view(owner=BEN, epoch=2))[1] is not None


def test_nobody_is_waited_for_once_all_that_were_asked_have_answered():
    succession, held, known = Succession(me=ME), held_of(ME, BEN), mesh(changed(ANNA, "dead"))
    assert succession.look(held, known, None, at(0)) == "ask"
    assert to_ask(held, known, me=ME) == [BEN]
    held.copies.heard(BEN, {**held.fold.versions, facts(Owner(fence()))[0].author: 99}, {})
    succession.answered(held, BEN, at(0.1))
    assert succession.look(held, known, None, at(0.1)) == "wait", "Ben knows more: its facts are on their way"
    held.copies.heard(BEN, held.fold.versions, {})
    succession.answered(held, BEN, at(0.2))
    assert succession.due(at(0.2)) == [JOB]
    assert succession.look(held, known, None, at(0.2)) == "take"


def test_replicas_that_an_answer_names_are_asked_too_each_of_them_once():
    succession, held, known = Succession(me=ME), held_of(ME, BEN), mesh(changed(ANNA, "dead"))
    assert succession.look(held, known, None, at(0)) == "ask"
    assert succession.asking(JOB) == (BEN,)
    held.fold.add(facts(ReplicaSet(fence(ANNA), 3, (ANNA, ME, BEN, CARL)), first=1 + max(held.fold.versions.values()))[0])
    assert succession.look(held, known, None, at(0.9)) == "ask"
    assert succession.asking(JOB) == (CARL,)
    for peer in (BEN, CARL):
        assert succession.look(held, known, None, at(1.0 + limits.MERGE_S / 2)) == "wait", "one of them has not answered"
        held.copies.heard(peer, held.fold.versions, {})
        succession.answered(held, peer, at(1.0 + limits.MERGE_S / 2))
    assert succession.look(held, known, None, at(1.0 + limits.MERGE_S / 2)) == "take"


# what an heir says


def test_an_heir_is_the_owner_under_a_greater_fence_and_keeps_the_recorded_replicas():
    fold = held_of(ME, BEN).fold
    owner, replicas = takeover_bodies(fold, fence(epoch=2), at(0))
    assert owner == Owner(fence(epoch=2))
    assert isinstance(replicas, ReplicaSet)
    assert replicas.peers == (ME, ANNA, BEN)
    assert replicas.version > 2


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ((*(ended(frame, frame) for frame in (1, 2, 3, 4)), Closed("completed", fence(), 0, 2000)), "completed"),
        ((Control("cancelled", "1", fence(), 1, 2000), Closed("cancelled", fence(), 0, 2000)), "cancelled"),
        ((ended(1, 1), Closed("completed", fence(), 0, 2000)), None),
        ((Closed("completed", fence(), 0, 2000), Retried("1", 1, 3000)), None),
        (
            (*(ended(1, counter, result=failed()) for counter in (1, 2, 3)), *(ended(f, 9 + f) for f in (2, 3, 4)),
             Closed("failed", fence(), 0, 2000)),
            "failed",
        ),
    ],
)  # fmt: skip
def test_what_had_ended_stays_ended_where_the_heirs_own_facts_bear_it_out(more: tuple[Body, ...], state: str | None):
    fold = folded(*begun(), *more)
    said = [body for body in takeover_bodies(fold, fence(ANNA, 2), at(0)) if isinstance(body, Closed)]
    assert [(one.state, one.fence) for one in said] == ([] if state is None else [(state, fence(ANNA, 2))])


def test_a_failure_without_a_reason_is_one_in_error_unless_facts_are_still_to_come():
    closed = Closed("failed", fence(ANNA), 0, 2000)
    tries = [ended(1, counter, result=failed()) for counter in (1, 2, 3)]
    rest = [ended(frame, 9 + frame) for frame in (2, 3, 4)]
    assert not failed_in_error(held_of(more=(*tries, *rest, closed)))
    assert failed_in_error(held_of(more=(*rest, closed))), "frame 1 is open"
    held = held_of(more=(*tries, *rest, ended(1, 9, by=BEN), closed))
    assert failed_in_error(held), "frame 1 is done"
    held.copies.heard(BEN, {facts(Owner(fence()))[0].author: 99}, {})
    assert not failed_in_error(held)
    assert not failed_in_error(held_of(more=(ended(1, 1), Closed("completed", fence(ANNA), 0, 2000))))
    assert not failed_in_error(held_of(more=(*rest, closed, Retried("1", 1, 3000)))), "it goes on already"


# claims


def test_an_heir_hands_nothing_out_until_a_second_peer_holds_its_ownership_or_it_has_waited_long_enough():
    held, known = held_of(ME, BEN), mesh(changed(ANNA, "dead"))
    held.claim = claim(held, at(0))
    assert not claim_holds(held, known, at(1), me=ME)
    held.copies.heard(BEN, held.fold.versions, {})
    assert claim_holds(held, known, at(1), me=ME)
    held.copies.forget(BEN)
    assert claim_holds(held, known, at(limits.CLAIM_S), me=ME)


def test_a_lonely_heir_waits_for_nobody():
    held, known = held_of(ME), Replicas(me=ME, host="here", run_epoch=1, count=3)
    held.claim = claim(held, at(0))
    assert claim_holds(held, known, at(0), me=ME)


def test_an_owner_that_starts_again_hears_its_replicas_first():
    held, known = held_of(ME, BEN), mesh()
    held.claim = claim_after_boot(held, at(0), me=ME)
    assert not claim_holds(held, known, at(1), me=ME)
    for peer in (ANNA, BEN):
        held.copies.heard(peer, held.fold.versions, {})
    assert claim_holds(held, known, at(1), me=ME)
    assert claim_after_boot(held_of(more=(ReplicaSet(fence(ANNA), 3, (ME,)),)), at(0), me=ME) is None, "there are none"
