from typing import Any

import pytest

from peer.cli.failures import Exit
from peer.cli.jobview import COLUMNS, FIELDS, done_text, ended, outcome, why_text


def job(state: str, **frames: int) -> dict[str, Any]:
    return {"id": "ab" * 16, "name": "castle", "state": state, "frames": {"total": 10, **frames}}


@pytest.mark.parametrize(
    ("view", "code"),
    [
        (job("completed", done=10), Exit.OK),
        (job("completed", done=9, failed=1), Exit.INCOMPLETE),
        (job("failed", done=9, failed=1), Exit.INCOMPLETE),
        (job("failed", failed=10), Exit.ERROR),
        (job("cancelled", done=3), Exit.ERROR),
        (job("held"), Exit.INCOMPLETE),
        *((job(state), None) for state in ("inspecting", "queued", "running", "paused", "what?")),
    ],
)
def test_what_a_state_means_for_a_wait(view: dict[str, Any], code: Exit | None) -> None:
    assert ended(view) is code


def test_reasons_in_every_shape() -> None:
    view = {
        "held_because": [{"code": "a", "text": "A", "remedy": "do A"}, "?"],
        "waiting_because": {"code": "b", "text": "B"},
        "error": {"code": "c"},
    }
    assert why_text(view) == "A [a]; do A\nB [b]\nc"
    assert why_text({"waiting_because": "no peer", "error": "broke"}) == "no peer\nbroke"
    assert why_text({"waiting_because": [{"text": "x"}, "y"]}) == "x\ny"
    assert why_text({}) == ""


def test_counts_name_only_what_went_wrong() -> None:
    assert done_text(job("running", done=3)) == "3/10"
    assert done_text(job("running", done=3, failed=2, held=1)) == "3/10, 2 failed, 1 held"
    assert outcome(job("completed", done=10)) == "job castle completed: 10/10 frames done"


def test_a_job_with_nothing_in_it_is_shown() -> None:
    for column in (*COLUMNS, *FIELDS):
        assert isinstance(column.value({}), str)
    odd = {
        "labels": {"a": 1},
        "durability": {"copies": 2},
        "replicas": ["x" * 64],
        "frames": None,
        "eta_s": "soon",
        "progress": None,
    }
    texts = {column.title: column.value(odd) for column in FIELDS}
    assert (texts["Labels"], texts["Durability"], texts["Replicas"]) == ("a=1", "2 copies", "x" * 12)
