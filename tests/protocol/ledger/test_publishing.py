from __future__ import annotations

from protocol.ids import RequestId
from protocol.kernel import Now
from protocol.ledger.held import HeldJob
from protocol.ledger.promises import make_promise
from protocol.ledger.publishing import publication
from tests.protocol.making import JOB, begun, ended, facts


def running() -> HeldJob:
    held = HeldJob(JOB)
    for fact in facts(*begun(), ended(1, 1)):
        held.fold.add(fact)
    return held


def test_what_may_still_be_refused_is_not_published():
    held = running()
    make_promise(held, RequestId("r"), Now(1.0, 1), submits=True, created=True)
    assert publication(held, Now(1.0, 1), copies=1, peers=3) == []


def test_the_same_is_not_said_twice():
    held = running()
    assert len(publication(held, Now(1.0, 1), copies=1, peers=3)) == 1
    assert publication(held, Now(9.0, 1), copies=1, peers=3) == []
    assert not held.dirty


def test_counts_wait_longer_in_a_large_mesh():
    for peers, pause_s in ((3, 1.0), (300, 10.0)):
        held = running()
        publication(held, Now(1.0, 1), copies=1, peers=peers)
        held.fold.add(facts(ended(2, 2), first=6)[0])
        assert publication(held, Now(0.9 + pause_s, 1), copies=1, peers=peers) == []
        assert held.dirty
        assert len(publication(held, Now(1.1 + pause_s, 1), copies=1, peers=peers)) == 1
