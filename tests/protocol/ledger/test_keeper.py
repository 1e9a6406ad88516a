from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from protocol import limits
from protocol.effects import FetchBlobs
from protocol.ids import AuthorId, Fence, JobId
from protocol.ledger.facts import Owner, Retried
from protocol.ledger.keeper import Keeper
from protocol.signals import Send
from protocol.wire.work import FactsHeld
from tests.protocol.making import ANNA, AUTHOR, BEN, JOB, ME, SCENE, begun, digest, ended, facts, failed, folded, output, spec


def held(outputs: Sequence[object]) -> list[FactsHeld]:
    return [one.message for one in outputs if isinstance(one, Send) and isinstance(one.message, FactsHeld)]


def fetched(outputs: Sequence[object]) -> FetchBlobs:
    (fetch,) = [one for one in outputs if isinstance(one, FetchBlobs)]
    return fetch


def test_a_job_without_bytes_is_safe_at_once():
    said = held(Keeper(me=ME).asked(folded(*begun(owner=ANNA)), ANNA))
    assert said[-1] == FactsHeld(JOB, ((AUTHOR, 4),), ((AUTHOR, 4),))


def test_facts_are_held_before_their_bytes_and_safe_after_them():
    fold = folded(*begun(spec(renderer="blender"), SCENE, owner=ANNA))
    keeper = Keeper(me=ME)
    outputs = keeper.asked(fold, ANNA)
    assert held(outputs) == [FactsHeld(JOB, ((AUTHOR, 4),), ())]
    fetch = fetched(outputs)
    assert fetch.items == ((digest("scene"), 1000),)
    assert fetch.holders[0] == ANNA
    assert fetch.pin_for == JOB
    assert held(keeper.ended(fold, fetch.ticket, "")) == [FactsHeld(JOB, ((AUTHOR, 4),), ((AUTHOR, 4),))]


def test_a_failed_fetch_starts_again_when_the_owner_asks_again():
    fold = folded(*begun(spec(renderer="blender"), SCENE, owner=ANNA))
    keeper = Keeper(me=ME)
    first = fetched(keeper.asked(fold, ANNA))
    assert keeper.ended(fold, first.ticket, "nobody has it") == []
    assert fetched(keeper.asked(fold, ANNA)).items == first.items


def test_one_fetch_is_under_way_at_a_time_and_the_next_follows():
    fold = folded(*begun(spec(renderer="blender"), SCENE, owner=ANNA))
    keeper = Keeper(me=ME)
    first = fetched(keeper.asked(fold, ANNA))
    fold.add(facts(ended(1, 1, by=BEN), first=5)[0])
    assert not [one for one in keeper.asked(fold, ANNA) if isinstance(one, FetchBlobs)]
    second = fetched(keeper.ended(fold, first.ticket, ""))
    assert second.holders == (ANNA, BEN)
    assert keeper.owns(second.ticket) == JOB


def test_the_job_and_its_scene_are_safe_though_nobody_has_a_result():
    fold = folded(*begun(spec(renderer="blender"), SCENE, owner=ANNA), ended(1, 1, by=BEN))
    heir = AuthorId("0" * 16)  # its facts come first
    for fact in facts(Owner(Fence(2, ANNA)), ended(2, 2, by=BEN), author=heir):
        assert fold.add(fact)
    keeper = Keeper(me=ME)
    scene = fetched(keeper.asked(fold, ANNA))
    assert scene.items == ((digest("scene"), 1000),)
    assert scene.holders == (ANNA, BEN)  # who has rendered has the scene as well
    outputs = keeper.ended(fold, scene.ticket, "")
    assert [one.safe for one in held(outputs)] == [((AUTHOR, 1),)]
    results = fetched(outputs)
    assert dict(results.items) == {output(1, BEN).digest: 100, output(2, BEN).digest: 100}
    assert keeper.ended(fold, results.ticket, "nobody has it") == []
    again = keeper.asked(fold, ANNA)
    assert [one.safe for one in held(again)] == [((AUTHOR, 1),)]
    assert fetched(again).items == results.items


def test_a_job_without_a_scene_is_safe_though_nobody_has_a_result():
    fold = folded(*begun(owner=ANNA), ended(1, 1, by=BEN))
    keeper = Keeper(me=ME)
    outputs = keeper.asked(fold, ANNA)
    assert held(outputs)[-1].safe == ((AUTHOR, 1),)
    assert fetched(outputs).items == ((output(1, BEN).digest, 100),)


def test_an_acceptance_beyond_the_next_facts_comes_before_their_results(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "FACTS_PER_MESSAGE_MAX", 2)
    fold = folded(*begun(spec(renderer="blender"), SCENE, owner=ANNA))
    for fact in facts(Owner(Fence(2, ANNA)), ended(1, 1, by=BEN), author=AuthorId("0" * 16)):
        assert fold.add(fact)
    assert fetched(Keeper(me=ME).asked(fold, ANNA)).items == ((digest("scene"), 1000),)


def test_results_are_looked_for_though_nobody_has_the_scene():
    fold = folded(*begun(spec(renderer="blender"), SCENE, owner=ANNA), ended(1, 1, by=BEN))
    keeper = Keeper(me=ME)
    asked_for = []
    for _ in range(3):
        fetch = fetched(keeper.asked(fold, ANNA))
        keeper.ended(fold, fetch.ticket, "nobody has it")
        asked_for.append([found for found, _ in fetch.items])
    scene, result = digest("scene"), output(1, BEN).digest
    assert asked_for == [[scene], [scene, result], [scene]]


def test_a_forgotten_job_is_fetched_no_more():
    fold = folded(*begun(spec(renderer="blender"), SCENE, owner=ANNA))
    keeper = Keeper(me=ME)
    fetch = fetched(keeper.asked(fold, ANNA))
    keeper.forget(JOB)
    assert keeper.owns(fetch.ticket) is None


def test_an_owner_keeps_its_job_itself_and_tells_nobody():
    fold = folded(*begun(spec(frames="1-2")), ended(1, 1, by=ANNA))
    keeper = Keeper(me=ME)
    fetch = fetched(keeper.keep(fold))
    assert fetch.holders == (ANNA,)
    assert keeper.keep(fold) == []
    assert keeper.lacking(fold) == [ended(1, 1, by=ANNA)]
    assert keeper.ended(fold, fetch.ticket, "") == []
    assert fold.covered_by(keeper.safe(JOB))


def test_what_a_peer_has_authored_itself_is_here():
    fold = folded(*begun(), ended(1, 1))
    keeper = Keeper(me=ME)
    keeper.authored(JOB, AUTHOR, 1, 5)
    assert keeper.keep(fold) == []
    keeper.authored(JOB, AUTHOR, 7, 8)  # something between is not known to be here
    assert keeper.safe(JOB) == {AUTHOR: 5}


def test_only_the_scene_and_the_result_that_each_frame_has_must_be_here():
    log = replace(failed(), log=digest("log"), log_size=5)
    fold = folded(
        *begun(), ended(1, 1, by=ANNA), ended(2, 3, by=ANNA), ended(2, 2, by=BEN), ended(3, 4, by=ANNA, result=log),
        Retried("1", 1, 1),
    )  # fmt: skip
    keeper = Keeper(me=ME)
    [needed] = keeper.keep(fold)
    assert isinstance(needed, FetchBlobs)
    assert keeper.has_extras(JOB)
    [welcome] = keeper.fetch_extras(JOB)
    assert isinstance(welcome, FetchBlobs)
    assert needed.items == ((output(2, BEN).digest, 100),)
    assert welcome.items == ((output(1, ANNA).digest, 100), (output(2, ANNA).digest, 100), (digest("log"), 5))
    assert welcome.holders == needed.holders == (ANNA, BEN)
    assert keeper.owns(welcome.ticket) is None
    assert keeper.lacking(fold) == [ended(2, 2, by=BEN)]
    keeper.ended(fold, needed.ticket, "")
    assert fold.covered_by(keeper.safe(JOB))


def test_what_is_only_welcome_is_asked_for_together_and_once():
    keeper, first = Keeper(me=ME), ended(1, 1, by=ANNA, result=replace(failed(), log=digest("first"), log_size=5))
    keeper.keep(folded(*begun(), first))
    keeper.keep(folded(*begun(), first, ended(2, 2, by=BEN, result=replace(failed(), log=digest("second"), log_size=6))))
    [welcome] = keeper.fetch_extras(JOB)
    assert isinstance(welcome, FetchBlobs)
    assert welcome.items == ((digest("first"), 5), (digest("second"), 6))
    assert set(welcome.holders) == {ANNA, BEN}
    assert keeper.fetch_extras(JOB) == []
    assert not keeper.has_extras(JOB)
    assert keeper.fetch_extras(JobId("f" * 32)) == []
    keeper.keep(folded(*begun(), first))
    keeper.forget(JOB)
    assert not keeper.has_extras(JOB)


def test_damaged_bytes_are_looked_at_again_and_the_owner_hears_of_it():
    fold = folded(*begun(owner=ANNA), ended(1, 1, by=ANNA))
    keeper = Keeper(me=ME)
    keeper.ended(fold, fetched(keeper.asked(fold, ANNA)).ticket, "")
    outputs = keeper.damaged(fold)
    job_only = ((AUTHOR, 1),)  # it has no scene: there are no bytes to look at
    assert held(outputs) == [FactsHeld(JOB, ((AUTHOR, 5),), safe) for safe in ((), job_only)]
    under_way = fetched(outputs)
    assert held(keeper.damaged(fold))[0].safe == ()  # damaged again while it is being fetched: once more from the start
    assert fetched(keeper.ended(fold, under_way.ticket, "")).items == under_way.items
    assert Keeper(me=ME).damaged(fold) == []
