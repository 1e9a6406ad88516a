import json

import pytest

from peer.cli.failures import CliError, Exit
from peer.cli.screen import Screen, plain


def test_control_characters_are_made_visible() -> None:
    assert plain("a\x1b[2Jb\n\u202ec\x9bd é 漢") == "a\\x1b[2Jb\\n\\u202ec\\x9bd é 漢"


def test_an_error_says_what_why_and_what_next(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().fail(CliError(Exit.ERROR, "it\nbroke", why="because", remedy="mend it", code="broken"))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "error: it\\nbroke\n  code: broken\n  why:  because\n  next: mend it\n"


def test_a_document_carries_its_contract_and_the_peers_fields_win_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().document("Job", {"id": "a"}, compact=True)
    assert json.loads(capsys.readouterr().out) == {"apiVersion": "peerctl/v1", "kind": "Job", "id": "a"}
