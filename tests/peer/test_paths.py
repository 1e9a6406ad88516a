from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from peer.paths import expanded
from tests.fuzzing import texts


def test_a_home_folder_is_that_of_the_account(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/anna")
    assert expanded("~/scenes") == Path("/home/anna/scenes")
    assert expanded("/a/~b") == Path("/a/~b")


@pytest.mark.parametrize("text", ["~nobody-of-this-name", "~nobody-of-this-name/x", "a\0b"])
def test_what_is_no_path_is_refused(text: str):
    with pytest.raises(ValueError, match=r"no such home folder|zero byte"):
        expanded(text)


@given(texts)
def test_any_text_is_a_path_or_refused(text: str):
    try:
        assert isinstance(expanded(text), Path)
    except ValueError:
        return
