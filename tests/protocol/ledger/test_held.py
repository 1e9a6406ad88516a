from __future__ import annotations

from protocol.ids import RequestId
from protocol.kernel import Now
from protocol.ledger.facts import Owner
from protocol.ledger.held import HeldJob
from protocol.ledger.promises import make_promise
from tests.protocol.making import AUTHOR, JOB, ME, accepted, facts, fence


def test_the_acceptance_is_found_wherever_it_stands():
    held = HeldJob(JOB)
    assert held.acceptance() == {}
    for fact in facts(Owner(fence()), accepted()):
        held.fold.add(fact)
    assert held.acceptance() == {AUTHOR: 2}
    assert held.owner == ME


def test_a_job_is_merely_promised_while_its_first_client_waits():
    held = HeldJob(JOB)
    held.fold.add(facts(accepted())[0])
    make_promise(held, RequestId("again"), Now(1.0, 1), submits=True, created=False)
    assert not held.is_promised
    make_promise(held, RequestId("first"), Now(1.0, 1), submits=True, created=True)
    assert held.is_promised
