import json
import stat
import sys
from pathlib import Path

import pytest

from peer.cli import programs
from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakePeer


def test_show_with_and_without_origin(peer: FakePeer, peerctl: Peerctl) -> None:
    assert [line.split() for line in peerctl("config", "show").out.splitlines()] == [
        ["NAME", "VALUE"],
        ["port", "7700"],
        ["mesh_key", "***"],
    ]
    assert "environment PEER_MESH_KEY" in peerctl("config", "show", "--origin").out


def test_json_is_a_contract(peer: FakePeer, peerctl: Peerctl) -> None:
    document = json.loads(peerctl("config", "show", "--json").out)
    assert document["settings"][0] == {"name": "port", "value": 7700, "origin": "default"}
    assert (document["apiVersion"], document["kind"]) == ("peerctl/v1", "Settings")


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that takes every file but those that say port = 0x."""
    path = tmp_path / "peerd"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nassert sys.argv[1:3] == ['--check-config', '--config']\n"
        "if 'bad' in open(sys.argv[3]).read(): sys.exit('port: not a number')\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(programs, "peerd", lambda: [str(path)])


@pytest.mark.usefixtures("daemon")
def test_validate_asks_the_daemon(peerctl: Peerctl) -> None:
    Path("good.toml").write_text("port = 1\n")
    Path("bad.toml").write_text("port = 'bad'\n")
    assert peerctl("config", "validate", "good.toml").code == 0
    ran = peerctl("config", "validate", "bad.toml")
    assert ran.code == 10
    assert "port: not a number" in ran.err
    assert peerctl("config", "validate", "none.toml").code == 2
