"""A closed door over real peers: a key opens every one of them, a revoked one none, and no secret is said aloud."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.e2e.mesh import PROGRAMS, Mesh, PeerProcess
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the other loopback addresses are Linux's")
GOSSIP_ROUND_S = 5.0
READ = (
    "/api/v1/config", "/metrics", "/api/v1/events?follow=false", "/api/v1/tokens", "/api/v1/jobs", "/openapi.json", "/ca.pem",
    "/health",
)  # fmt: skip


@dataclass
class Client:
    """Somebody with the mesh's authority and perhaps a key. The host's name is checked, as curl does."""

    authority: Path
    key: str | None = None

    def __post_init__(self) -> None:
        context = ssl.create_default_context(cafile=str(self.authority))
        self.pool = urllib3.PoolManager(ssl_context=context, retries=False, timeout=30)

    def ask(
        self, peer: PeerProcess, method: str, path: str, body: object = None, *, key: str | None = None, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        shown = key if key is not None else self.key
        bearer = {"Authorization": f"Bearer {shown}"} if shown else {}
        return self.pool.request(method, peer.url + path, json=body, headers={**bearer, **headers})

    def get(self, peer: PeerProcess, path: str) -> Any:
        answer = self.ask(peer, "GET", path)
        assert answer.status == 200, (answer.status, answer.data)
        return answer.json()

    def peers_of(self, peer: PeerProcess) -> list[Any]:
        """None while that peer does not know the key yet."""
        answer = self.ask(peer, "GET", "/api/v1/peers")
        return answer.json()["peers"] if answer.status == 200 else []


@dataclass
class Closed:
    """A mesh with a key of its own, whose peers listen on addresses of their own."""

    mesh: Mesh
    peers: list[PeerProcess]
    admin: Client

    def token(self, name: str, role: str, *, at: int = 0) -> str:
        answer = self.admin.ask(self.peers[at], "POST", "/api/v1/tokens", {"name": name, "role": role})
        assert answer.status == 201, answer.data
        return str(answer.json()["token"])

    def statuses(self, key: str, path: str = "/api/v1/whoami") -> list[int]:
        return [self.admin.ask(peer, "GET", path, key=key).status for peer in self.peers]


def keygen(mesh: Mesh, name: str) -> Path:
    path = mesh.folder / name
    done = mesh.peerctl(None, "keygen", "--out", str(path))
    assert done.returncode == 0, done.stderr
    return path


async def start_closed(mesh: Mesh, count: int, *arguments: str, name: str = "mesh.key") -> Closed:
    """Peers on 127.0.0.2 and up, which have joined; the first has made the admin key before it was ready."""
    key = str(keygen(mesh, name))
    peers: list[PeerProcess] = []
    for number in range(count):
        given = ("--mesh-key-file", key, "--bind", f"127.0.0.{number + 2}", "--discovery", "static", *arguments)
        peers.append(await mesh.start(f"{name}-{number}", *given, join=peers[0] if peers else None))
    first = peers[0].data_dir
    admin = Client(first / "ca.pem", (first / "admin.key").read_text().strip())
    await wait_until(lambda: all(len(admin.peers_of(peer)) == count for peer in peers))
    return Closed(mesh, peers, admin)


def peerctl(closed: Closed, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAMS / "peerctl"), *arguments], capture_output=True, text=True, timeout=60, check=False,
        env={**closed.mesh.environment(), **environment}, cwd=closed.mesh.folder,
    )  # fmt: skip


def started_peerctl(closed: Closed, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(PROGRAMS / "peerctl"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**closed.mesh.environment(), **environment}, cwd=closed.mesh.folder,
    )  # fmt: skip


async def test_a_key_opens_every_peer_and_a_revoked_one_none(mesh: Mesh) -> None:
    closed = await start_closed(mesh, 3)
    key = closed.token("alice", "submitter", at=1)
    await wait_until(lambda: closed.statuses(key) == [200, 200, 200], GOSSIP_ROUND_S)
    body = {"renderer": "null", "frames": "1-3", "settings": {"frame_ms": 5}}
    made = closed.admin.ask(closed.peers[2], "POST", "/api/v1/jobs", body, key=key)
    assert made.status == 202, made.data
    job = made.json()["id"]
    await wait_until(lambda: closed.admin.get(closed.peers[0], f"/api/v1/jobs/{job}")["state"] == "completed")
    submitter = closed.admin.get(closed.peers[0], f"/api/v1/jobs/{job}")["submitter"]
    assert submitter == f"alice/{key.split('_')[1]}"
    paused = closed.admin.ask(closed.peers[0], "POST", f"/api/v1/jobs/{job}/cancel", {}, key=key)
    assert paused.status in (200, 409)
    assert closed.admin.ask(closed.peers[0], "DELETE", "/api/v1/tokens/alice").status == 200
    await wait_until(lambda: closed.statuses(key) == [401, 401, 401], GOSSIP_ROUND_S)


async def test_whoever_follows_with_a_key_hears_nothing_more_once_it_is_revoked(mesh: Mesh) -> None:
    """A revocation at one peer ends what another streams; `peerctl events -f` says why it ends."""
    closed = await start_closed(mesh, 2)
    key = closed.token("alice", "viewer")
    await wait_until(lambda: closed.statuses(key) == [200, 200], GOSSIP_ROUND_S)
    second = closed.peers[1]
    stream = closed.admin.pool.request(
        "GET", f"{second.url}/api/v1/events", headers={"Authorization": f"Bearer {key}"}, preload_content=False
    )
    assert stream.status == 200
    words = ("-H", second.url, "--cacert", str(closed.admin.authority), "events", "-f")
    following = started_peerctl(closed, *words, PEERCTL_TOKEN=key)
    try:
        assert following.stdout is not None
        assert following.stdout.readline()  # it is let in
        assert closed.admin.ask(closed.peers[0], "DELETE", "/api/v1/tokens/alice").status == 200
        assert stream.read().endswith(b": the key of this stream does not count any more\n\n")
        _, errors = following.communicate(timeout=60)
    finally:
        following.kill()
    assert following.returncode == 4
    assert "revoked" in errors
    assert key not in errors


async def test_one_peer_makes_the_admin_key_and_a_restart_makes_no_other(mesh: Mesh) -> None:
    closed = await start_closed(mesh, 3)
    made = [peer for peer in closed.peers if (peer.data_dir / "admin.key").exists()]
    assert made == closed.peers[:1]
    assert (closed.peers[0].data_dir / "admin.key").stat().st_mode & 0o777 == 0o600
    assert len(closed.admin.get(closed.peers[2], "/api/v1/tokens")["tokens"]) == 1
    assert str(closed.peers[0].data_dir / "admin.key") in closed.peers[0].log
    key = closed.token("alice", "viewer")
    await wait_until(lambda: closed.statuses(key) == [200, 200, 200], GOSSIP_ROUND_S)
    closed.peers[2].kill()
    await mesh.restart(closed.peers[2])
    assert closed.statuses(key)[2] == 200
    assert not (closed.peers[2].data_dir / "admin.key").exists()


async def test_a_revocation_while_a_peer_is_away_holds_when_it_is_back(mesh: Mesh) -> None:
    closed = await start_closed(mesh, 2)
    key = closed.token("alice", "operator")
    await wait_until(lambda: closed.statuses(key) == [200, 200], GOSSIP_ROUND_S)
    closed.peers[1].kill()
    assert closed.admin.ask(closed.peers[0], "DELETE", "/api/v1/tokens/alice").status == 200
    await mesh.restart(closed.peers[1])
    await wait_until(lambda: closed.statuses(key) == [401, 401])


async def test_the_account_s_own_peerctl_needs_nothing_and_another_s_a_pin_and_a_key(mesh: Mesh) -> None:
    closed = await start_closed(mesh, 2)
    first, second = closed.peers
    local = peerctl(closed, "peers", "-o", "name", PEER_DATA_DIR=str(first.data_dir))
    assert (local.returncode, len(local.stdout.split())) == (0, 2), local.stderr
    made = peerctl(closed, "token", "create", "ci", "--role", "viewer", PEER_DATA_DIR=str(first.data_dir))
    key = made.stdout.strip()
    assert made.returncode == 0, made.stderr
    unknown = peerctl(closed, "-H", second.url, "whoami", PEERCTL_TOKEN=key)
    assert unknown.returncode == 4
    assert "nothing was sent" in unknown.stderr
    fingerprint = next(json.loads(line)["sha256"] for line in second.log.splitlines() if '"event":"authority"' in line)
    assert peerctl(closed, "trust", second.url, "--fingerprint", "00" * 32).returncode == 4
    trusted = peerctl(closed, "trust", second.url, "--fingerprint", fingerprint)
    assert trusted.returncode == 0, trusted.stderr
    known = peerctl(closed, "-H", second.url, "whoami", "--json", PEERCTL_TOKEN=key)
    assert (json.loads(known.stdout)["name"], json.loads(known.stdout)["role"]) == ("ci", "viewer")
    assert peerctl(closed, "-H", second.url, "token", "list", PEERCTL_TOKEN=key).returncode == 4
    pinged = peerctl(closed, "ping", second.id, "--json", PEER_DATA_DIR=str(first.data_dir))
    ways = json.loads(pinged.stdout)
    assert (ways["datagram"]["received"], ways["stream"]["received"], ways["indirect"]["sent"]) == (3, 3, 0)
    listed = json.loads(peerctl(closed, "token", "list", "--json", PEER_DATA_DIR=str(first.data_dir)).stdout)["tokens"]
    assert [(row["role"], row["revoked"]) for row in listed if row["name"] == "ci"] == [("viewer", False)]
    revoked = peerctl(closed, "token", "revoke", key, PEER_DATA_DIR=str(first.data_dir))
    assert revoked.returncode == 0, revoked.stderr
    await wait_until(lambda: peerctl(closed, "-H", second.url, "jobs", PEERCTL_TOKEN=key).returncode == 4)


async def test_a_key_of_another_mesh_opens_nothing(mesh: Mesh) -> None:
    ours = await start_closed(mesh, 1, name="ours.key")
    theirs_key = str(keygen(mesh, "theirs.key"))
    theirs = await mesh.start(
        "theirs", "--mesh-key-file", theirs_key, "--bind", "127.0.0.9", "--discovery", "static", "--join", "127.0.0.9:1"
    )
    stranger = Client(theirs.data_dir / "ca.pem", ours.admin.key)
    assert stranger.ask(theirs, "GET", "/api/v1/jobs").status == 401
    with pytest.raises(urllib3.exceptions.SSLError):
        ours.admin.ask(theirs, "GET", "/api/v1/jobs")


async def test_what_is_sent_in_place_of_a_key_is_refused_and_the_peer_goes_on(mesh: Mesh) -> None:
    closed = await start_closed(mesh, 1, "--anonymous-role", "viewer")
    (peer,) = closed.peers
    for headers in (
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer \u00e9\u00ff"},
        {"X-API-Key": "mk_" + "0" * 16 + "_" + "0" * 40},
        {"X-API-Key": ""},
    ):
        answer = closed.admin.pool.request("GET", peer.url + "/api/v1/jobs", headers=headers)
        assert (answer.status, answer.headers["Content-Type"][:24]) == (401, "application/problem+json"), headers
    answer = closed.admin.pool.request("GET", peer.url + "/api/v1/jobs", headers={"X-API-Key": "x" * 200_000})
    assert answer.status in (400, 431)
    assert closed.admin.pool.request("GET", peer.url + "/api/v1/jobs").status == 200
    for _ in range(40):
        closed.admin.ask(peer, "GET", "/api/v1/jobs", key="guess")
    limited = closed.admin.ask(peer, "GET", "/api/v1/jobs", key="guess")
    assert (limited.status, limited.json()["code"]) == (429, "too_many_failed_logins")
    assert closed.admin.ask(peer, "GET", "/api/v1/tokens").status == 200


async def test_no_secret_is_said_aloud(mesh: Mesh) -> None:
    """Every secret of this mesh, looked for wherever somebody else could read it."""
    closed = await start_closed(mesh, 2, "--log-level", "debug")
    first, second = closed.peers
    key = closed.token("canary", "submitter")
    await wait_until(lambda: closed.statuses(key) == [200, 200], GOSSIP_ROUND_S)
    wrong = "mk_" + "ab" * 8 + "_" + "cd" * 20
    mesh_secret = (mesh.folder / "mesh.key").read_text().strip().rpartition(":")[2]
    canaries = [secret.rpartition("_")[2] for secret in (str(closed.admin.key), key, wrong)] + [mesh_secret]
    body = {"renderer": "null", "frames": "1", "settings": {"frame_ms": 5}}
    assert closed.admin.ask(second, "POST", "/api/v1/jobs", body, key=key).status == 202

    said: dict[str, str] = {}
    for peer in closed.peers:
        for path in READ:
            said[f"{peer.name} {path}"] = closed.admin.ask(peer, "GET", path).data.decode()
        for method, path, sent in (
            ("GET", "/api/v1/jobs", None),
            ("GET", f"/api/v1/jobs/{wrong}", None),
            ("POST", "/api/v1/tokens", {"name": wrong, "role": "admin"}),
            ("DELETE", f"/api/v1/tokens/{wrong}", None),
            ("POST", f"/v1/agent/service/register?token={wrong}", None),
        ):  # fmt: skip
            for shown in (wrong, None):
                answer = closed.admin.ask(peer, method, path, sent, key=shown)
                if path != f"/api/v1/jobs/{wrong}":  # a job's name is the caller's own to hear again
                    said[f"{peer.name} {method} {path[:20]} {answer.status} {shown is None}"] = answer.data.decode()
    first.terminate()
    assert await first.ended() == 0
    for peer in closed.peers:
        said[f"{peer.name} log"] = peer.log
        said[f"{peer.name} out"] = (peer.folder / "peerd-1.out").read_text()
    said["arguments"] = Path(f"/proc/{second.running.pid}/cmdline").read_text()
    for peer in closed.peers:
        for file in peer.data_dir.rglob("*"):
            if file.is_file() and file.name != "admin.key":
                said[f"{peer.name} {file.name}"] = file.read_bytes().decode("latin-1")
    assert leaks(said, canaries) == []
    assert len(said) > 30


def leaks(said: dict[str, str], canaries: list[str]) -> list[str]:
    """Where a secret stands, in hexadecimal or as it is."""
    forms = [form for canary in canaries for form in (canary, canary.upper(), bytes.fromhex(canary).decode("latin-1"))]
    return [where for where, text in said.items() if any(form in text for form in forms)]


def test_the_canary_sings() -> None:
    secret = "ab" * 20
    said = {"log": f"key mk_1_{secret}", "disk": bytes.fromhex(secret).decode("latin-1"), "quiet": "mk_1_"}
    assert leaks(said, [secret]) == ["log", "disk"]
