from __future__ import annotations

import pytest

from protocol import limits
from protocol.membership.echoes import Awaited, Echoes
from tests.protocol.membership.rig import A, B


def test_only_those_who_were_asked_answer_and_only_in_time() -> None:
    echoes = Echoes()
    echoes.expect(7, Awaited("probe", (A,), 10.0))
    assert echoes.find(7, A, 10.0) is not None
    assert echoes.find(7, B, 5.0) is None
    assert echoes.find(8, A, 5.0) is None
    assert echoes.find(7, A, 10.1) is None
    echoes.forget(7)
    assert echoes.find(7, A, 5.0) is None


def test_anybody_may_answer_at_a_seed() -> None:
    echoes = Echoes()
    echoes.expect(7, Awaited("join", (), 10.0))
    assert echoes.find(7, B, 5.0) is not None


def test_the_oldest_question_is_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ECHOES_AWAITED_MAX", 2)
    echoes = Echoes()
    for seq in (1, 2, 3):
        echoes.expect(seq, Awaited("heal", (A,), 10.0))
    assert len(echoes) == 2
    assert echoes.mine(1) is None
    assert echoes.mine(3) is not None
