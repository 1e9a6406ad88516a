import pytest

from peer.cli import bounds
from peer.cli.failures import Busy, Exit, Unreachable
from peer.cli.patience import try_again, wait_s


def busy(retry_after_s: float | None) -> Busy:
    return Busy("busy", status=503, retry_after_s=retry_after_s, remedy="", code="busy")


def test_as_long_as_the_peer_asks_within_bounds() -> None:
    assert wait_s(busy(7)) == 7
    assert wait_s(busy(None)) == bounds.BUSY_WAIT_S
    assert wait_s(busy(bounds.BUSY_WAIT_MAX_S + 1)) is None


def test_until_it_is_not_busy() -> None:
    answers: list[object] = [busy(0), busy(0), "done"]
    said: list[str] = []

    def once() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Busy):
            raise answer
        return answer

    assert try_again(busy(0), once, said.append) == "done"
    assert said == ["busy; trying again in 0 s"] * 3


def test_not_for_ever() -> None:
    calls: list[int] = []

    def once() -> None:
        calls.append(1)
        raise busy(0)

    with pytest.raises(Busy):
        try_again(busy(0), once, lambda _: None)
    assert len(calls) == bounds.BUSY_ATTEMPTS_MAX - 1


def test_who_insists_counts_no_attempts_and_goes_on_when_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "DOWN_WAIT_S", 0.0)
    gone = Unreachable(Exit.UNREACHABLE, "no peer can be reached")
    answers: list[object] = [*[busy(0)] * bounds.BUSY_ATTEMPTS_MAX, gone, "done"]

    def once() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert try_again(busy(0), once, lambda _: None, insists=True) == "done"
    assert wait_s(gone) is None


def test_who_insists_ends_with_the_last_error_after_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "DOWN_WAIT_S", 0.01)
    monkeypatch.setattr(bounds, "BUSY_TOTAL_S", 0.05)

    def once() -> None:
        raise Unreachable(Exit.UNREACHABLE, "no peer can be reached")

    with pytest.raises(Unreachable) as caught:
        try_again(busy(0), once, lambda _: None, insists=True)
    assert caught.value.begun, "a peer was there, and what it did is not known"


def test_another_error_ends_it() -> None:
    def once() -> None:
        raise ValueError("other")

    with pytest.raises(ValueError, match="other"):
        try_again(busy(0), once, lambda _: None)
