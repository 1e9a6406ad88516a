"""The mesh's key is turned again and again while three peers render, and at last one of them is left out."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time
from pathlib import Path

from protocol.wire.seal import MeshKey, format_mesh_key
from tests.bench.measured import Row
from tests.e2e.mesh import Mesh, PeerProcess
from tests.waiting import wait_until

NAMES = ("ash", "birch", "cedar")
OPEN = ("--http", "plain", "--anonymous-role", "admin")
FRAMES, FRAME_MS = 40, 50
JOB_S = 120.0
TURN_S = 10.0
OUT_S = 30.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark takes."""
    parser.add_argument("--turns", type=int, default=5, metavar="N", help="how often the key is turned (default 5)")


def run(*, options: argparse.Namespace, folder: Path) -> list[Row]:
    """Rotations under load, then an expulsion."""
    mesh = Mesh(folder)
    try:
        return asyncio.run(_measure(mesh, options.turns))
    finally:
        mesh.close()


async def _measure(mesh: Mesh, turns: int) -> list[Row]:
    key = MeshKey(secrets.token_bytes(16), secrets.token_bytes(32))
    file = mesh.folder / "mesh.key"
    file.write_text(format_mesh_key(key))
    file.chmod(0o600)
    peers = [await mesh.start(name, "--mesh-key-file", str(file), *OPEN) for name in NAMES]
    await mesh.together(peers)
    jobs: list[tuple[PeerProcess, str]] = []
    took_s: list[float] = []
    for turn in range(turns):
        jobs += [(peer, peer.submit(frames=f"1-{FRAMES}", settings={"frame_ms": FRAME_MS})) for peer in peers]
        began = time.perf_counter()
        key = _turn(peers[turn % len(peers)], key)
        took_s.append(time.perf_counter() - began)
    states = [(await peer.until_ended(job, JOB_S))["state"] for peer, job in jobs]
    deaths = [event for peer in peers for event in peer.events("member_died")]
    doubts = [event for peer in peers for event in peer.events("member_suspected")]
    out_s = await _expel(peers, key)
    dropped = sum(1 for state in states if state != "completed")
    return [
        Row(f"jobs dropped, of {len(jobs)} over {turns} rotations", 0, dropped, "", {}),
        Row("healthy peers called dead", 0, len(deaths), "", {}),
        Row("healthy peers suspected", 0, len(doubts), "", {}),
        Row("slowest rotation: install, use, remove", TURN_S, max(took_s), "s", {"each": took_s}),
        Row("an expelled peer is out for all", OUT_S, out_s, "s", {}),
    ]


def _turn(peer: PeerProcess, old: MeshKey, *, expel: tuple[str, ...] = ()) -> MeshKey:
    new = MeshKey(old.mesh_id, secrets.token_bytes(32))
    _ask(peer, "POST", "", {"key": format_mesh_key(new), "expel": list(expel)})
    _ask(peer, "POST", f"/{new.fingerprint}/use", {})
    _ask(peer, "DELETE", f"/{old.fingerprint}", {})
    return new


def _ask(peer: PeerProcess, method: str, path: str, body: object) -> None:
    answer = peer.ask(method, f"/api/v1/keys{path}", json_body=body)
    if answer.status != 200:
        raise SystemExit(f"{method} /api/v1/keys{path.replace('/', ' ')}: {answer.status} {answer.text}")


async def _expel(peers: list[PeerProcess], key: MeshKey) -> float:
    """Leave the last one out; seconds from the removal of the old key until the others hold it dead."""
    *others, rogue = peers
    _turn(others[0], key, expel=(rogue.id,))
    began = time.perf_counter()
    await wait_until(lambda: all(rogue.id not in {row["id"] for row in peer.peers("alive", "suspect")} for peer in others))
    return time.perf_counter() - began
