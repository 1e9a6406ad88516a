"""A log of facts is the same sequence wherever they lie."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed
from protocol.ledger.attic import MemoryAttic
from protocol.ledger.factlog import FactLog
from protocol.ledger.facts import Fact
from tests.protocol.making import AUTHOR, JOB, done, ended, facts

PACK = 3


def made(count: int, attic: MemoryAttic | None = None) -> tuple[FactLog, list[Fact]]:
    held = facts(*(ended(frame, frame, result=done(frame)) for frame in range(1, count + 1)))
    log = FactLog(JOB, AUTHOR, MemoryAttic(PACK) if attic is None else attic)
    for fact in held:
        log.append(fact)
    return log, held


@given(st.integers(0, 20), st.integers(-22, 22), st.integers(-22, 22))
def test_every_fact_and_every_slice_is_as_in_a_list(count: int, start: int, stop: int):
    log, held = made(count)
    assert len(log) == count
    assert list(log) == held
    assert log[start:stop] == held[start:stop]
    for at in range(-count, count):
        assert log[at] == held[at]
    for beyond in (count, -count - 1):
        with pytest.raises(IndexError):
            log[beyond]


def test_only_the_newest_facts_stay_in_memory():
    attic = MemoryAttic(PACK)
    log, held = made(2 * PACK - 1, attic)
    assert len(attic) == 0
    log.append(facts(ended(9, 9), first=2 * PACK)[0])
    assert len(attic) == 1
    assert log[PACK] is held[PACK], "the newest are the very objects"
    assert log[0] == held[0]
    assert log[0] is not held[0]


def test_facts_that_speak_of_a_blob_are_found_wherever_they_lie():
    log, held = made(11)
    for fact in held:
        assert fact in list(log.speaking_of(done(fact.seq).outputs[0].digest))
    packed = log.speaking_of(done(2).outputs[0].digest)
    assert next(packed) == held[1], "others of its pack were not even read"


def test_what_is_released_leaves_the_attic():
    attic = MemoryAttic(PACK)
    log, _ = made(20, attic)
    assert len(attic) > 0
    log.release()
    assert (len(attic), len(log)) == (0, 0)


def test_a_pack_that_is_not_one_is_malformed():
    attic = MemoryAttic(PACK)
    log, _ = made(2 * PACK, attic)
    attic.get = lambda place: b"\x93\xc4\x01\xc1\xc4\x01\xc1\xc4\x01\xc1"  # type: ignore[method-assign]
    with pytest.raises(Malformed):
        log[0]
