import json

import pytest

from peer.cli import diagnosis
from peer.cli.diagnosis import Finding
from tests.peer.cli.conftest import Peerctl


@pytest.mark.parametrize(("result", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_it_fails_only_for_failures(
    peerctl: Peerctl, monkeypatch: pytest.MonkeyPatch, result: diagnosis.Result, code: int
) -> None:
    monkeypatch.setattr(diagnosis, "examine", lambda _: iter([Finding("disk", result, "2 MB free", "free space")]))
    ran = peerctl("doctor")
    assert ran.code == code
    assert ran.out.splitlines()[1].split() == ["disk", result, "2", "MB", "free"]
    assert ("disk: free space" in ran.out) == (result != "ok")


def test_json_is_a_contract(peerctl: Peerctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "examine", lambda _: iter([Finding("disk", "warn", "2 MB free", "free space")]))
    assert json.loads(peerctl("doctor", "--json").out) == {
        "apiVersion": "peerctl/v1", "kind": "Diagnosis",
        "checks": [{"name": "disk", "result": "warn", "text": "2 MB free", "remedy": "free space"}],
    }  # fmt: skip
