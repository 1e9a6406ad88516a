from __future__ import annotations

from protocol.membership.awareness import Awareness


def test_the_score_stays_between_nothing_and_its_limit() -> None:
    health = Awareness(7)
    health.better()
    assert health.score == 0
    health.worse(20)
    assert health.score == 7
    health.better()
    assert health.score == 6


def test_every_wait_is_stretched_by_the_score() -> None:
    health = Awareness(7)
    assert health.scale(0.5) == 0.5
    health.worse(2)
    assert health.scale(0.5) == 1.5
