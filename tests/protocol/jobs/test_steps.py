from __future__ import annotations

import pytest

from protocol.errors import IllegalTransition
from protocol.jobs.steps import FRAME_MOVES, FrameStep, diagram, move


def test_a_frame_goes_its_way():
    step = FrameStep.PENDING
    for name, expected in (("grant", FrameStep.LEASED), ("report", FrameStep.LANDING), ("commit", FrameStep.DONE)):
        step = move(step, name, about="frame 1")  # type: ignore[arg-type]
        assert step is expected


@pytest.mark.parametrize(
    ("step", "name"),
    [(FrameStep.DONE, "commit"), (FrameStep.LANDING, "report"), (FrameStep.FAILED, "grant"), (FrameStep.LEASED, "retry")],
)
def test_a_move_that_does_not_exist_tells_the_story(step: FrameStep, name: str):
    with pytest.raises(IllegalTransition, match="frame 7 of job x"):
        move(step, name, about="frame 7 of job x")  # type: ignore[arg-type]


def test_every_step_has_a_way_to_done_and_the_diagram_shows_every_move():
    for step in FrameStep:
        reached = {step}
        while more := {target for one in reached for target in FRAME_MOVES[one].values()} - reached:
            reached |= more
        assert FrameStep.DONE in reached
    assert len(diagram().splitlines()) == sum(len(moves) for moves in FRAME_MOVES.values())
