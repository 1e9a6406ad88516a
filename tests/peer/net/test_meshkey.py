from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.net.meshkey import choose_mesh_key, load_or_make_loopback_key, new_mesh_key
from protocol.errors import Invalid, Unavailable
from protocol.wire.seal import format_mesh_key
from tests.fuzzing import changed, refused


def choose(tmp_path: Path, *, configured: str | None = None, insecure: bool = False, mesh_name: str = "default"):
    return choose_mesh_key(configured=configured, insecure=insecure, loopback_file=tmp_path / "loopback.key", mesh_name=mesh_name)


def test_a_configured_key_is_used_and_no_file_is_made(tmp_path: Path):
    key = new_mesh_key("farm")
    assert choose(tmp_path, configured=format_mesh_key(key), mesh_name="farm") == key
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "secret", "rendermesh-key-1:00:11", "rendermesh-key-2:" + "0" * 32 + ":" + "0" * 64])
def test_a_configured_text_that_is_no_key_is_refused_without_being_shown(tmp_path: Path, text: str):
    with pytest.raises(Invalid, match="peerctl keygen") as caught:
        choose(tmp_path, configured=text)
    assert caught.value.code == "bad_mesh_key"
    assert not text or text not in caught.value.message


def test_peers_of_one_user_share_a_private_file(tmp_path: Path):
    first = choose(tmp_path)
    assert choose(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "loopback.key").stat().st_mode) == 0o600


def test_peers_that_start_at_once_agree(tmp_path: Path):
    path = tmp_path / "deep" / "loopback.key"
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: load_or_make_loopback_key(path, mesh_name="default"), range(64)))
    assert len(keys) == 1


def test_meshes_of_other_names_share_the_file_and_not_the_key(tmp_path: Path):
    first, second = choose(tmp_path, mesh_name="a"), choose(tmp_path, mesh_name="b")
    assert first.key == second.key
    assert first.subkey(b"authority") != second.subkey(b"authority")
    assert first.mesh_hint != second.mesh_hint


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int):
    choose(tmp_path)
    (tmp_path / "loopback.key").chmod(mode)
    with pytest.raises(Invalid, match="chmod 600"):
        choose(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"rendermesh-key-1:"])
def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path, content: bytes):
    path = tmp_path / "loopback.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Invalid, match=r"loopback\.key holds no mesh key") as caught:
        choose(tmp_path)
    assert caught.value.code == "loopback_key_damaged"
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_made_says_where_and_what_to_do(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="peerctl keygen") as caught:
        choose(tmp_path / "file")
    assert caught.value.code == "loopback_key_unusable"
    assert str(tmp_path / "file" / "loopback.key") in caught.value.message


def test_insecure_is_the_same_key_everywhere_and_makes_no_file(tmp_path: Path):
    assert choose(tmp_path, insecure=True) == choose(tmp_path / "elsewhere", insecure=True)
    assert list(tmp_path.iterdir()) == []


def test_no_key_is_ever_shown(tmp_path: Path):
    key = choose(tmp_path)
    assert key.key.hex() not in repr(key)
    assert repr(key.key) not in repr(key)


WRITTEN = f"{format_mesh_key(new_mesh_key('default'))}\n".encode()


@given(changed(WRITTEN) | st.binary(max_size=80))
def test_any_file_holds_the_key_of_this_account_or_is_damaged(tmp_path: Path, content: bytes):
    path = tmp_path / "loopback.key"
    path.write_bytes(content)
    path.chmod(0o600)
    error = refused(choose, tmp_path, by=Invalid)
    assert error is None or error.code == "loopback_key_damaged"
    assert path.read_bytes() == content
