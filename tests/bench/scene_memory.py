"""How much memory a large scene costs the peers that take it, hold it and hand it on.

`python -m tests.bench.scene_memory BYTES` starts two real peers, submits a scene of that many bytes to one in a streamed form,
lets the other fetch it, and prints one JSON line: the growth of each peer's peak resident set, and the seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3

from tests.e2e.mesh import Mesh, PeerProcess
from tests.waiting import wait_until

PIECE = 1 << 20
SUBMIT_S = 600.0


def peak_bytes(peer: PeerProcess) -> int:
    """The largest resident set that the process has had (Linux: VmHWM)."""
    status = Path(f"/proc/{peer.running.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def write_large(path: Path, total_bytes: int) -> None:
    """A file of that size. The null renderer opens no scene, so that any bytes do."""
    with path.open("wb") as file:
        for number in range(total_bytes // PIECE):
            file.write(number.to_bytes(8, "big") * (PIECE // 8))


def form_pieces(scene: Path, fields: dict[str, str]) -> Iterator[bytes]:
    """A form as it goes over the wire, never whole in memory."""
    for name, value in fields.items():
        yield f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    yield f'--b\r\nContent-Disposition: form-data; name="scene"; filename="{scene.name}"\r\n\r\n'.encode()
    with scene.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
    yield b"\r\n--b--\r\n"


def submit_streamed(peer: PeerProcess, scene: Path, fields: dict[str, str]) -> str:
    """Submit without holding the scene; the job's id. Fails with the peer's words."""
    pool = urllib3.PoolManager(retries=False, timeout=SUBMIT_S)
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    reply = pool.request("POST", f"{peer.url}/api/v1/jobs", body=form_pieces(scene, fields), headers=headers)
    pool.clear()
    assert reply.status == 202, reply.data.decode()
    job: str = json.loads(reply.data)["id"]
    return job


async def measure(mesh: Mesh, scene: Path) -> dict[str, Any]:
    """Submit `scene` to one of two peers; `durability=two` means that the other has fetched every byte before the answer."""
    taker, holder = await mesh.start_many("taker", "holder")
    peers = {peer.name: peer for peer in (taker, holder)}
    before = {name: peak_bytes(peer) for name, peer in peers.items()}
    began = time.monotonic()
    job = submit_streamed(taker, scene, {"renderer": "null", "frames": "1"})
    seconds = time.monotonic() - began
    await wait_until(lambda: taker.job(job)["durability"]["copies"] == 2)
    growth = {name: peak_bytes(peer) - before[name] for name, peer in peers.items()}
    return {"bytes": scene.stat().st_size, "growth_bytes": growth, "seconds": round(seconds, 2)}


def main(total_bytes: int) -> None:
    """Print one JSON line."""
    with tempfile.TemporaryDirectory(prefix="rendermesh-scene-") as text:
        folder = Path(text)
        scene = folder / "large.blend"
        write_large(scene, total_bytes)
        mesh = Mesh(folder)
        try:
            print(json.dumps(asyncio.run(measure(mesh, scene))))
        finally:
            mesh.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
