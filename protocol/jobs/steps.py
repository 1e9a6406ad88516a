"""Where a frame stands with its owner, and which moves exist. The table *is* the diagram; a missing key is illegal."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Literal

from protocol.errors import IllegalTransition


class FrameStep(IntEnum):
    """Where a frame stands with its owner; one byte per frame."""

    PENDING = 0  # nobody has it
    LEASED = 1  # somebody renders it
    LANDING = 2  # rendered elsewhere; its bytes are on their way here
    DONE = 3  # committed
    FAILED = 4  # attempts used up


FrameMove = Literal["grant", "return", "report", "commit", "give_up", "retry"]

FRAME_MOVES: Final[dict[FrameStep, dict[FrameMove, FrameStep]]] = {
    FrameStep.PENDING: {
        "grant": FrameStep.LEASED,
        "report": FrameStep.LANDING,  # a lease that expired, and its worker finished after all
        "commit": FrameStep.DONE,
        "give_up": FrameStep.FAILED,
    },
    FrameStep.LEASED: {
        "return": FrameStep.PENDING,
        "report": FrameStep.LANDING,
        "commit": FrameStep.DONE,
        "give_up": FrameStep.FAILED,
    },
    FrameStep.LANDING: {
        "return": FrameStep.PENDING,
        "commit": FrameStep.DONE,
        "give_up": FrameStep.FAILED,
    },
    FrameStep.DONE: {"retry": FrameStep.PENDING},
    FrameStep.FAILED: {
        "retry": FrameStep.PENDING,
        "report": FrameStep.LANDING,  # a late success beats a recorded failure
        "commit": FrameStep.DONE,
    },
}


def move(step: FrameStep, name: FrameMove, *, about: str) -> FrameStep:
    """The step that `name` leads to. Raises `IllegalTransition` telling the story in `about`."""
    try:
        return FRAME_MOVES[step][name]
    except KeyError:
        raise IllegalTransition(f"{about}: no move {name!r} from {step.name}") from None


def diagram() -> str:
    """The frame table as lines `FROM --move--> TO`, for the documents."""
    return "\n".join(
        f"{step.name} --{name}--> {target.name}" for step, moves in FRAME_MOVES.items() for name, target in moves.items()
    )
