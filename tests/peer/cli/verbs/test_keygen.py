import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peer.cli.conftest import ROOT, Peerctl

KEY = re.compile(r"rendermesh-key-1:[0-9a-f]{32}:[0-9a-f]{64}\n\Z")


def test_a_file_for_its_owner_alone(peerctl: Peerctl) -> None:
    ran = peerctl("keygen")
    assert ran.code == 0
    assert KEY.match(Path("mesh.key").read_text())
    assert Path("mesh.key").stat().st_mode & 0o777 == 0o600
    assert "peerd --mesh-key-file mesh.key" in ran.err
    assert Path("mesh.key").read_text().strip() not in ran.out + ran.err


def test_a_key_that_is_there_is_not_replaced_unasked(peerctl: Peerctl) -> None:
    peerctl("keygen", "--out", "k")
    before = Path("k").read_text()
    ran = peerctl("keygen", "--out", "k")
    assert ran.code == 5
    assert "--force" in ran.err
    assert Path("k").read_text() == before
    assert peerctl("keygen", "--out", "k", "--force").code == 0
    assert Path("k").read_text() != before
    assert [path.name for path in Path().iterdir()] == ["k"]


def test_printed(peerctl: Peerctl) -> None:
    assert KEY.match(peerctl("keygen", "--out", "-").out)


def test_the_shells_own_redirection_works_too() -> None:
    with Path("mesh.key").open("w") as file:
        command = [sys.executable, "-m", "peer.cli", "keygen"]
        subprocess.run(command, stdout=file, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30, check=True)
    assert KEY.match(Path("mesh.key").read_text())
    assert Path("mesh.key").stat().st_mode & 0o777 == 0o600


def test_json_says_the_mesh_and_not_the_key(peerctl: Peerctl) -> None:
    document = json.loads(peerctl("keygen", "--json").out)
    _, mesh, secret = Path("mesh.key").read_text().strip().split(":")
    assert document == {"apiVersion": "peerctl/v1", "kind": "MeshKey", "path": "mesh.key", "mesh": mesh}
    assert secret not in json.dumps(document)


@pytest.mark.parametrize("place", ["nowhere/k", "/proc/k"])
def test_a_place_that_cannot_be_written(peerctl: Peerctl, place: str) -> None:
    ran = peerctl("keygen", "--out", place)
    assert ran.code == 1
    assert f"cannot write {place}" in ran.err


def test_the_next_key_is_for_the_same_mesh(peerctl: Peerctl) -> None:
    peerctl("keygen")
    ran = peerctl("keygen", "--next", "mesh.key", "--out", "new.key")
    assert "peerctl keys install new.key" in ran.err
    (_, mesh, secret), (_, next_mesh, next_secret) = (
        Path(name).read_text().strip().split(":") for name in ("mesh.key", "new.key")
    )
    assert (mesh == next_mesh, secret == next_secret) == (True, False)


def test_a_next_key_needs_a_key(peerctl: Peerctl) -> None:
    Path("other").write_text("nothing")
    assert peerctl("keygen", "--next", "other", "--out", "new.key").code == 2
    assert peerctl("keygen", "--next", "nowhere", "--out", "new.key").code == 2
    assert not Path("new.key").exists()
