"""Trouble is told rarely enough to be read."""

from __future__ import annotations

from peer.discovery.faults import Faults
from protocol import limits
from tests.peer.discovery.adverts import Ear


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_fault_is_told_once_and_again_when_it_changes_or_lasts():
    ear, clock = Ear(), Clock()
    faults = Faults("dns", ear.notices.append, clock=clock)
    for fault in ("down", "down", "slow", "slow"):
        faults.failed("peers", fault)
    assert ear.errors == ["down", "slow"]
    clock.now += limits.DISCOVERY_FAULT_AGAIN_S
    faults.failed("peers", "slow")
    assert ear.errors == ["down", "slow", "slow"]
    assert ear.notices[0].fields == {"way": "dns", "source": "peers", "error": "down"}


def test_recovery_is_told_after_a_fault_only():
    ear = Ear()
    faults = Faults("dns", ear.notices.append)
    faults.works("peers")
    faults.failed("peers", "down")
    faults.works("peers")
    faults.works("peers")
    assert [notice.event for notice in ear.notices] == ["discovery_failed", "discovery_recovered"]


def test_what_is_forgotten_is_not_told_as_recovered():
    ear = Ear()
    faults = Faults("mdns", ear.notices.append)
    faults.failed("eth0", "down")
    faults.forget("eth0")
    faults.works("eth0")
    assert len(ear.notices) == 1


def test_texts_and_memory_are_bounded():
    ear = Ear()
    faults = Faults("dns", ear.notices.append)
    for number in range(limits.DISCOVERY_FAULTS_MAX + 1):
        faults.failed(str(number), "x" * 10_000)
    faults.works("0")  # forgotten meanwhile
    assert ear.notices[-1].event == "discovery_failed"
    assert len(ear.errors[0]) == limits.DISCOVERY_TEXT_CHARS_MAX
