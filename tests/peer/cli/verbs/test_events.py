import json
import subprocess
from collections.abc import Callable

import pytest

from tests.peer.cli.conftest import Peerctl
from tests.peer.cli.fakemesh import FakeMesh, FakePeer

Program = Callable[..., subprocess.Popen[str]]


def event(number: int) -> dict[str, object]:
    return {
        "id": str(number),
        "time": "2026-01-02T03:04:05Z",
        "event": "peer_joined",
        "peer": "ab" * 32,
        "job": None,
        "frame": None,
        "address": f"x{number}",
    }


def test_the_kept_ones_and_an_end(mesh: FakeMesh, peer: FakePeer, peerctl: Peerctl) -> None:
    mesh.events = [event(1), event(2)]
    ran = peerctl("events")
    assert ran.code == 0
    assert ran.out.splitlines()[1] == "2026-01-02T03:04:05Z  peer_joined  peer=abababababab  address=x2"
    assert [json.loads(line) for line in peerctl("events", "--json").out.splitlines()] == mesh.events


def test_follow_takes_up_after_a_break_where_it_was(mesh: FakeMesh, peer: FakePeer, program: Program) -> None:
    mesh.events = [event(1)]
    process = program("events", "-f", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["id"] == "1"
    port = int(peer.address.rsplit(":", 1)[1])
    peer.stop()
    mesh.events.append(event(2))
    mesh.call(restart(peer, port))
    assert json.loads(process.stdout.readline())["id"] == "2"
    assert mesh.seen[-1].headers["Last-Event-ID"] == "1"


async def restart(peer: FakePeer, port: int) -> None:
    await peer.start(port)


def test_follow_ends_with_the_reason_when_its_key_does_not_count_any_more(
    mesh: FakeMesh, peer: FakePeer, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEERCTL_TOKEN", "mine")
    mesh.token, mesh.events = "mine", [event(1)]
    process = program("events", "-f")
    assert process.stdout is not None
    assert process.stdout.readline()
    mesh.token = "another"
    rest, said = process.communicate(timeout=60)
    assert (process.returncode, rest) == (4, "")
    assert "this mesh wants a key" in said
