"""A place to die at is named, armed by one setting, and costs nothing while it is not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from peer import failpoints
from protocol.effects import Effect, Persist, Reply, SendStream
from protocol.ids import Address, AuthorId, RequestId
from protocol.ledger.facts import Body, Delivered, Owner
from protocol.records import PutFact, PutValue
from protocol.views import Submitted
from protocol.wire.work import Facts, Granted, Nothing, WorkMessage
from tests.protocol.making import ANNA, JOB, accepted, ended, facts, fence, job_view, lease

MINE, THEIRS = AuthorId("a" * 16), AuthorId("b" * 16)


def persist(body: Body, author: AuthorId = MINE) -> Persist:
    return Persist((PutValue("x", b""), *(PutFact(fact) for fact in facts(body, body, author=author))))


def stream(message: WorkMessage) -> SendStream:
    return SendStream(ANNA, Address("127.0.0.1", 1), message)


@pytest.mark.parametrize(
    ("effect", "steps"),
    [
        (persist(accepted()), ["accept fsync"]),
        (persist(ended(1, 1)), ["fact commit"]),
        (persist(Delivered("1", 0, (), ANNA, 1)), ["delivered commit"]),
        (persist(accepted(), THEIRS), ["replica fsync"]),
        (persist(Owner(fence())), ["fact commit"]),
        (persist(Owner(fence(epoch=2))), ["takeover"]),
        (persist(Owner(fence(epoch=1)), THEIRS), ["replica fsync"]),
        (persist(Owner(fence(epoch=2)), THEIRS), ["replica fsync", "hand-over"]),
        (Persist((PutValue("outbox/1-a-2", b""),)), ["outbox"]),
        (Persist((PutValue("x", b""),)), []),
        (stream(Granted(1, (lease(),))), ["steal grant"]),
        (stream(Granted(1, ())), []),
        (stream(Nothing(1, None)), []),
        (stream(Facts(JOB, tuple(facts(accepted())), (), replicate=True)), ["replicate"]),
        (stream(Facts(JOB, (), (), replicate=True)), []),
        (Reply(RequestId("r"), Submitted(job_view(), 2, created=True)), ["accept reply"]),
        (Reply(RequestId("r"), None), []),
    ],
)
def test_what_an_effect_is(effect: Effect, steps: list[str]):
    assert failpoints.steps_of(effect, MINE) == steps
    names = {name.rpartition(" ")[0] for name in failpoints.NAMES}
    assert set(steps) <= names


@pytest.mark.parametrize(
    "text",
    ["", "nothing:crash", "accept fsync before", "accept fsync before:sleep", "blob commit after:crash#0"],
)
def test_what_is_no_failpoint_is_refused_with_those_that_are(text: str):
    with pytest.raises(failpoints.UnknownFailpoint, match="output rename before"):
        failpoints.parse(text)


def test_nothing_is_armed_by_itself():
    for name in failpoints.NAMES:
        failpoints.reach(name)
    failpoints.reach_effect(persist(accepted()), "before", MINE)


def test_the_process_is_gone_at_the_nth_time():
    program = """
from peer import failpoints
failpoints.arm("blob commit after:crash#2")
failpoints.reach("blob commit after"); failpoints.reach("blob commit before"); print("once", flush=True)
failpoints.reach("blob commit after"); print("never")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (-9, "once\n")
