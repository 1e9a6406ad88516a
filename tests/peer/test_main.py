"""Which end of a peer gives which exit code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from peer import __main__ as program
from peer.ports import StoreBroken
from peer.store.errors import StoreUnusable
from protocol.errors import Invalid


@pytest.fixture
def ends_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Make every daemon end with this error (None: well), then run the program."""

    def run(error: BaseException | None) -> None:
        class Daemon:
            def __init__(self, settings: object) -> None:
                assert settings is not None

            async def run(self) -> None:
                if error is not None:
                    raise error

        monkeypatch.setattr(program, "Daemon", Daemon)
        monkeypatch.setattr(program, "configure", lambda **_: None)
        monkeypatch.setattr(sys, "argv", ["peerd", "--data-dir", str(tmp_path), "--port", "0"])
        program.main()

    return run


def test_a_peer_that_has_left_ends_with_0(ends_with):
    ends_with(None)


@pytest.mark.parametrize("error", [StoreUnusable("the folder is of a newer version"), Invalid("bad", "no"), OSError("no disk")])
def test_a_peer_that_cannot_start_ends_with_2_and_a_sentence(ends_with, error, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        ends_with(error)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"peerd: {error}\n")


def test_a_store_that_broke_ends_with_1_and_a_sentence(ends_with, capsys: pytest.CaptureFixture[str]):
    group = ExceptionGroup("daemon", [ExceptionGroup("engine", [StoreBroken("input/output error")])])
    with pytest.raises(SystemExit) as ended:
        ends_with(group)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "peerd: the store cannot be trusted any more: input/output error\n"


def test_a_mistake_of_ours_is_shown_whole(ends_with):
    group = ExceptionGroup("daemon", [StoreBroken("input/output error"), AssertionError("ours")])
    with pytest.raises(ExceptionGroup) as ended:
        ends_with(group)
    assert ended.value is group
