from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from peer.net.secretfile import make_once, read_bounded, refuse_if_open
from protocol.errors import Invalid
from protocol.limits import SECRET_FILE_BYTES_MAX


def test_a_new_file_is_private_and_whole(tmp_path: Path):
    path = tmp_path / "deep" / "key"
    assert make_once(path, b"secret") == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["key"]


def test_an_existing_file_wins_over_the_new_content(tmp_path: Path):
    path = tmp_path / "key"
    make_once(path, b"first")
    assert make_once(path, b"second") == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_all_who_start_at_once_agree(tmp_path: Path):
    path = tmp_path / "key"
    with ThreadPoolExecutor(16) as pool:
        seen = set(pool.map(lambda n: make_once(path, b"%d" % n * 1000), range(64)))
    assert seen == {path.read_bytes()}


def test_a_file_system_without_links_still_gets_the_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_link(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", no_link)
    path = tmp_path / "key"
    assert make_once(path, b"first") == b"first"
    assert make_once(path, b"second") == b"first"


def test_what_is_too_large_to_be_a_key_is_refused(tmp_path: Path):
    path = tmp_path / "key"
    path.write_bytes(b"x" * (SECRET_FILE_BYTES_MAX + 1))
    with pytest.raises(Invalid, match="holds no key"):
        read_bounded(path)


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
def test_a_file_that_others_may_read_is_refused_with_the_remedy(tmp_path: Path):
    path = tmp_path / "key"
    make_once(path, b"secret")
    refuse_if_open(path, forbidden_mode=0o077)
    path.chmod(0o640)
    refuse_if_open(path, forbidden_mode=0o007)
    with pytest.raises(Invalid, match="chmod 600") as caught:
        refuse_if_open(path, forbidden_mode=0o077)
    assert caught.value.code == "secret_file_open"
