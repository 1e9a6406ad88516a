"""What became of each frame, in whatever order it is heard."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from protocol.jobs.frames import parse_frames
from protocol.ledger.facts import FrameEnded
from protocol.ledger.outcomes import Outcomes, Place
from tests.protocol.making import ANNA, BEN, attempt, done, ended


class Told:
    """Outcomes over a list of facts."""

    def __init__(self) -> None:
        self.facts: dict[Place, FrameEnded] = {}
        self.of = Outcomes(self.facts.__getitem__)

    def ended(self, *bodies: FrameEnded, author: int = 0) -> None:
        for body in bodies:
            place = (author, len(self.facts) + 1)
            self.facts[place] = body
            self.of.ended(body, place)


def test_the_winner_is_the_same_in_every_order():
    bodies = [
        ended(1, 5, by=ANNA), ended(1, 3, by=BEN), ended(1, 9, by=ANNA, generation=1), ended(1, 7, by=BEN, generation=1),
    ]  # fmt: skip
    for order in permutations(bodies):
        told = Told()
        for author, body in enumerate(order):
            told.ended(body, author=author)
        assert told.of[1] == bodies[3]
        assert list(told.of.makers()) == [BEN]
        assert sorted(told.of.beaten(1), key=bodies.index) == bodies[:3]
        assert told.of.has_rivals(1)
        assert (len(told.of), told.of.done, told.of.started_ms) == (1, 1, min(_began(body) for body in bodies))


def _began(body: FrameEnded) -> int:
    return max(body.wall_ms - int(1000 * body.result.seconds), 0)


def test_a_frame_is_done_in_the_generation_that_is_wanted():
    told = Told()
    told.ended(ended(1, 1), ended(2, 2))
    told.of.want(1, 2)
    told.of.want(1, 1)
    assert (told.of.is_done(1), told.of.is_done(2), told.of.done, told.of.generation(1)) == (False, True, 1, 2)
    assert list(told.of.regenerated()) == [1]
    told.ended(ended(1, 3, generation=1))
    assert not told.of.is_done(1)
    told.ended(ended(1, 4, generation=2))
    assert told.of.is_done(1)
    assert list(told.of.all_done()) == [1, 2]


def test_a_result_of_a_generation_that_was_not_heard_of_is_of_that_generation():
    told = Told()
    told.ended(ended(1, 1), ended(1, 2, generation=3), ended(2, 3))
    assert (told.of.generation(1), told.of.generation(2), list(told.of.regenerated())) == (3, 0, [1])
    told.of.want(1, 2)
    assert (told.of.generation(1), told.of.is_done(1)) == (3, True)


def test_what_lies_in_its_place_is_of_the_generation_that_won():
    told = Told()
    told.of.carried(1, 0)
    assert not told.of.is_in_place(1), "it is not even done"
    told.ended(ended(1, 1), ended(2, 2))
    assert (told.of.is_in_place(1), told.of.delivered, list(told.of.to_deliver())) == (True, 1, [2])
    told.of.want(1, 1)
    assert (told.of.done, told.of.delivered) == (1, 0)
    told.ended(ended(1, 3, generation=1))
    assert (told.of.done, told.of.delivered, list(told.of.to_deliver())) == (2, 0, [1, 2])
    told.of.carried(1, 1)
    told.of.carried(1, 0)
    assert told.of.delivered == 1


def test_frames_that_the_job_does_not_have_never_count():
    told = Told()
    told.ended(ended(1, 1), ended(7, 2))
    assert told.of.done == 2
    told.of.fix(parse_frames("1-4"))
    assert (told.of.done, list(told.of.all_done()), sorted(told.of)) == (1, [1], [1, 7])
    told.ended(ended(8, 3), ended(2, 4))
    assert told.of.done == 2


def test_a_frame_without_a_result_has_none():
    told = Told()
    told.ended(replace(ended(3, 1), attempt=attempt(1), result=done(3)))
    assert 3 in told.of
    assert told.of.get(4) is None
    with pytest.raises(KeyError):
        told.of[4]
    assert told.of == {3: told.facts[0, 1]}
