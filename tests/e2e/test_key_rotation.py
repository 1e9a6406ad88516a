"""The mesh's key is turned while real peers render, and one of them is left out."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from protocol.wire.seal import parse_mesh_key
from tests.e2e.mesh import Mesh, PeerProcess, everywhere
from tests.waiting import wait_until

OPEN = ("--http", "plain", "--anonymous-role", "admin")


def keygen(mesh: Mesh, name: str, before: Path | None = None) -> Path:
    path = mesh.folder / name
    done = mesh.peerctl(None, "keygen", "--out", str(path), *(("--next", str(before)) if before is not None else ()))
    assert done.returncode == 0, done.stderr
    return path


def fingerprint(path: Path) -> str:
    return parse_mesh_key(path.read_text()).fingerprint


def peerctl(mesh: Mesh, peer: PeerProcess, *arguments: str) -> str:
    """`peerctl keys ...` against a peer; what it printed. The test fails when it does."""
    verb, *rest = arguments
    done = mesh.peerctl(None, "keys", verb, "-H", peer.url, *rest)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def keyed(mesh: Mesh, key: Path, *names: str) -> list[PeerProcess]:
    peers = [await mesh.start(name, "--mesh-key-file", str(key), *OPEN) for name in names]
    await mesh.together(peers)
    return peers


def false_deaths(peers: list[PeerProcess]) -> list[Any]:
    return [event for peer in peers for event in peer.events("member_died", "member_suspected")]


async def test_the_key_is_turned_under_load_without_a_lost_job_or_a_false_death(mesh):
    old = keygen(mesh, "mesh.key")
    new = keygen(mesh, "new.key", old)
    peers = await keyed(mesh, old, "ash", "birch", "cedar")
    jobs = [peer.submit(frames="1-60", settings={"frame_ms": 50}) for peer in peers]
    assert "yes" in peerctl(mesh, peers[0], "install", str(new))
    peerctl(mesh, peers[1], "use", fingerprint(new))
    jobs += [peer.submit(frames="1-30", settings={"frame_ms": 50}) for peer in peers]
    listed = peerctl(mesh, peers[2], "remove", fingerprint(old))
    assert (fingerprint(old) in listed, fingerprint(new) in listed) == (False, True)
    ended = [await peers[number % 3].until_ended(job) for number, job in enumerate(jobs)]
    assert [(job["state"], job["frames"]["failed"]) for job in ended] == [("completed", 0)] * 6
    assert false_deaths(peers) == []
    assert all(len(peer.peers()) == 3 for peer in peers)


async def test_the_stored_ring_outranks_the_setting_and_no_secret_is_shown(mesh):
    old = keygen(mesh, "mesh.key")
    new = keygen(mesh, "new.key", old)
    first, second = await keyed(mesh, old, "first", "second")
    for arguments in (("install", str(new)), ("use", fingerprint(new)), ("remove", fingerprint(old))):
        peerctl(mesh, first, *arguments)
    second.kill()
    await mesh.restart(second)  # with the file of the old key still in its settings
    await mesh.together([first, second])
    assert "was removed from the mesh" in second.log
    done = mesh.peerctl(None, "keys", "install", "-H", second.url, str(old))
    assert (done.returncode != 0, "was removed" in done.stderr) == (True, True)
    secret = new.read_text().strip().split(":")[2]
    shown = [first.log, second.log, first.ask("GET", "/api/v1/keys").text, first.ask("GET", "/api/v1/events?follow=false").text]
    assert not [text for text in shown if secret in text]


async def test_an_expelled_peer_is_out_and_the_others_go_on(mesh):
    old = keygen(mesh, "mesh.key")
    new = keygen(mesh, "new.key", old)
    peers = await keyed(mesh, old, "ash", "birch", "rogue")
    ash, birch, rogue = peers
    peerctl(mesh, ash, "install", str(new), "--expel", "rogue")
    peerctl(mesh, ash, "use", fingerprint(new))
    peerctl(mesh, ash, "remove", fingerprint(old))
    await wait_until(everywhere([ash, birch], lambda peer: {row["id"] for row in peer.peers()} == {ash.id, birch.id}))
    assert fingerprint(new) not in rogue.ask("GET", "/api/v1/keys").text
    job = ash.submit(frames="1-20", settings={"frame_ms": 20})
    assert (await birch.until_ended(job))["state"] == "completed"
    assert [row["id"] for row in ash.peers("dead")] == [rogue.id]
    done = mesh.peerctl(None, "ping", "-H", rogue.url, "ash")
    assert done.returncode != 0 or "0 received" in done.stdout or "no answer" in done.stdout


async def test_a_key_of_another_mesh_or_garbage_is_refused(mesh):
    key = keygen(mesh, "mesh.key")
    [peer] = await keyed(mesh, key, "alone")
    garbage = mesh.folder / "garbage.key"
    garbage.write_text(secrets.token_hex(20))
    for path, code in ((keygen(mesh, "foreign.key"), "another mesh"), (garbage, "not a mesh key")):
        done = mesh.peerctl(None, "keys", "install", "-H", peer.url, str(path))
        assert (done.returncode != 0, code in done.stderr) == (True, True)
        assert path.read_text().strip() not in done.stderr + peer.log
