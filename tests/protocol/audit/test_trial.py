from __future__ import annotations

import pytest

from protocol.audit.comparing import RenderClass
from protocol.audit.trial import Pair, Trial, Vote
from protocol.signals import FrameCommitted
from tests.protocol.making import ANNA, BEN, CARL, JOB, attempt, done, work

KIND = RenderClass("null", "1.0.0", "", "NULL", "null", "", False)


def trial(votes: int, found: dict[Pair, bool]) -> Trial:
    peers = (ANNA, BEN, CARL)[:votes]
    made = FrameCommitted(JOB, 1, 0, attempt(1), ANNA, done(1, ANNA))
    return Trial(work(), made, [Vote(peer, KIND, done(1, peer)) for peer in peers], found=found)


@pytest.mark.parametrize(
    ("votes", "found", "verdict"),
    [
        (1, {}, "open"),
        (2, {}, "open"),
        (2, {(0, 1): True}, "agreed"),
        (2, {(0, 1): False}, "open"),
        (3, {(0, 1): False, (0, 2): False, (1, 2): True}, ANNA),
        (3, {(0, 1): False, (0, 2): True, (1, 2): False}, BEN),
        (3, {(0, 1): False, (0, 2): False, (1, 2): False}, "undecided"),
        (3, {(0, 1): False, (0, 2): True, (1, 2): True}, "undecided"),  # near both: nothing is wrong in any
        (3, {(0, 1): False, (0, 2): True}, "undecided"),
    ],
)
def test_whoever_is_alone_among_three_is_wrong_and_nobody_else(votes: int, found: dict[Pair, bool], verdict: str) -> None:
    assert trial(votes, found).verdict() == verdict


def test_every_pair_is_compared_once() -> None:
    case = trial(3, {})
    seen = []
    while (pair := case.next_pair) is not None:
        seen.append(pair)
        case.found[pair] = False
    assert seen == [(0, 1), (0, 2), (1, 2)]
    assert trial(2, {(0, 1): False}).next_pair is None
