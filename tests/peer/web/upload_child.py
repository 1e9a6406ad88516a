"""A user port over a real store in a process of its own, for measuring its memory: prints its port,
then its peak for each line that it is sent, until the lines end.

Every job's first frame is at once done, with the scene itself as its picture: so that large downloads need no renderer.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiohttp import web

from peer.store.folder import open_store
from peer.telemetry.metrics import Metrics
from peer.web.app import make_app, serving
from peer.web.site import WebOptions
from protocol.jobs.manifest import Manifest
from protocol.jobs.results import Output
from protocol.jobs.spec import JobSpec
from protocol.views import Submitted
from tests.fakes.memory_store import MemoryBlobs
from tests.fakes.mesh import FakeMesh


class InstantMesh(FakeMesh):
    async def submit(
        self, spec: JobSpec, manifest: Manifest, *, submitter: str, key: str, on_this_peer: bool = False, named: bool = False
    ) -> Submitted:
        submitted = await super().submit(spec, manifest, submitter=submitter, key=key, on_this_peer=on_this_peer)
        scene = manifest.files[0]
        self.finish_with(submitted.job.id, 1, Output("main", "1.exr", scene.digest, "0" * 64, scene.size, 4, 4, 4, "OPEN_EXR"))
        return submitted


def peak_bytes() -> int:
    """The most memory that this process has had resident."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM")


async def main(folder: Path) -> None:
    store = open_store(folder / "data")
    mesh = InstantMesh("one", MemoryBlobs(folder / "unused"))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("nothing is forwarded here")

    app = make_app(mesh, store.blobs, never, WebOptions("1", lambda *_: None), Metrics())  # type: ignore[arg-type]
    runner = web.AppRunner(app, **serving())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], peak_bytes(), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(peak_bytes(), flush=True)
    await runner.cleanup()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
