import pytest

from peer.cli.progress import meter
from peer.cli.screen import Screen


class Terminal(Screen):
    @property
    def err_is_terminal(self) -> bool:
        return True


def test_a_line_for_each_tenth_and_each_note(capsys: pytest.CaptureFixture[str]) -> None:
    with meter(Screen(), "castle") as gauge:
        for done in range(101):
            gauge.update(done, total=100, note="running" if done < 100 else "completed", eta_s=float(100 - done))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[0] == "peerctl: castle: 0/100, 1 min 40 s left, running"
    assert lines[-1] == "peerctl: castle: 100/100, 0.0 s left, completed"


def test_bytes_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with meter(Screen(), "sending", octets_=True) as gauge:
        gauge.update(1e9, total=2e9)
    assert capsys.readouterr().err == "peerctl: sending: 1.0 GB of 2.0 GB\n"


def test_quiet_says_only_notes(capsys: pytest.CaptureFixture[str]) -> None:
    with meter(Screen(), "castle", quiet=True) as gauge:
        gauge.update(50, total=100)
        gauge.note("the \x1bpeer is gone")
    assert capsys.readouterr().err == "peerctl: the \\x1bpeer is gone\n"


def test_a_bar_with_the_time_left_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with meter(Terminal(), "castle") as gauge:
        gauge.update(5, total=10, note="running", eta_s=42)
        gauge.note("a peer is gone")
    said = capsys.readouterr()
    assert said.out == ""
    assert "5/10" in said.err
    assert "42 s left" in said.err
    assert "a peer is gone" in said.err
