from __future__ import annotations

from protocol.scheduling.owners import Owners
from protocol.signals import MemberState
from tests.protocol.making import ANNA, ME, changed


def test_whoever_is_suspected_is_there_and_the_dead_are_not():
    owners = Owners(me=ME)
    assert owners.is_live(ME)
    assert not owners.is_live(ANNA)
    states: tuple[MemberState, ...] = ("alive", "suspect", "dead", "alive", "left")
    for state in states:
        owners.heard(changed(ANNA, state))
        assert owners.is_live(ANNA) is (state in ("alive", "suspect"))


def test_a_new_run_is_told_once_and_a_return_in_the_same_run_is_none():
    owners = Owners(me=ME)
    assert owners.heard(changed(ANNA, run_epoch=1))
    assert not owners.heard(changed(ANNA, run_epoch=1))
    assert not owners.heard(changed(ANNA, "dead", run_epoch=1))
    assert not owners.heard(changed(ANNA, run_epoch=1))
    assert owners.heard(changed(ANNA, run_epoch=2))


def test_of_the_forgotten_nothing_is_kept():
    owners = Owners(me=ME)
    owners.heard(changed(ANNA))
    owners.heard(changed(ANNA, "dead"))
    owners.forget(ANNA)
    assert (owners._live, owners._runs) == ({ME: True}, {})
    assert owners.heard(changed(ANNA))
