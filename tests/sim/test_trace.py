from __future__ import annotations

from io import StringIO

from protocol.effects import Notice, Persist
from protocol.events import SeedsFound
from protocol.ids import RequestId
from protocol.records import PutFact
from tests.protocol.making import begun, facts
from tests.sim.trace import Trace, brief


def test_a_line_says_who_what_when_and_what_came_of_it():
    file = StringIO()
    trace = Trace(file)
    trace.step(1.5, "p3", SeedsFound(()), [Notice("job_accepted"), Persist((PutFact(facts(*begun())[0]),))])
    trace.note(2.0, "healed")
    first, second = file.getvalue().splitlines()
    assert "1.500000 p3 SeedsFound" in first
    assert "job_accepted" in first
    assert "Accepted" in first
    assert second.endswith("-- healed")


def test_the_digest_is_of_everything():
    def digest(*steps: str) -> str:
        trace = Trace()
        for step in steps:
            trace.step(1.0, step, None, [])
        return trace.digest()

    assert digest("a", "b") == digest("a", "b")
    assert digest("a", "b") != digest("b", "a")
    with_bytes = Trace()
    with_bytes.bytes(b"x")
    assert with_bytes.digest() != Trace().digest()


def test_a_missing_event_is_a_deadline():
    assert brief(None) == "deadline"
    assert "r1" in brief(Notice("x", fields={"request": RequestId("r1")}))
