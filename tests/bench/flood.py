"""10,000 bad datagrams a second against one of three peers while they render: jobs dropped, healthy peers called dead.

Everything runs on the loopback of a network namespace that the run makes and that ends with it, so root is needed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from peer.net.meshkey import LOOPBACK_FILE
from tests.bench.fleets import Listener, Ours, Place
from tests.bench.measured import Row
from tests.e2e.netns import Alone, Namespace, why_not

PEERS = 3
PORT, PORT_STEP = 20_000, 10
FRAMES, FRAME_MS = 300, 100
RECORDED = 50
JOB_S_MAX = 180.0
ETH_P_ALL, UDP = 3, 17


def arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark takes."""
    parser.add_argument("--rate", type=int, default=10_000, metavar="N", help="datagrams a second (default 10000)")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="how long (default 20)")


def run(*, options: argparse.Namespace, folder: Path) -> list[Row]:
    """One job, one flood."""
    reason = why_not()
    if reason is not None:
        raise SystemExit(f"the flood needs a network namespace: {reason}")
    with Alone() as space, three(space, folder / "peers") as fleet:
        recording = folder / "recording"
        recording.write_text("\n".join(one.hex() for one in record(space)))
        calm = metrics(space)
        job = submit(space)
        said = len(fleet.said)
        key = folder / "peers" / "share" / "rendermesh" / LOOPBACK_FILE
        words = ["127.0.0.1", str(PORT), str(options.rate), str(options.seconds), str(key), "bench", str(recording)]
        child = space.command(sys.executable, "-m", "tests.bench.flooder", *words)
        done = subprocess.run(child, capture_output=True, text=True, check=False, timeout=3 * options.seconds + 30)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        flood = json.loads(done.stdout)
        after = metrics(space)
        view = finished(space, job)
        deaths = [one for one in fleet.said[said:] if one.state == "dead"]
    return rows(options, flood=flood, view=view, deaths=len(deaths), calm=calm, after=after)


def rows(
    options: argparse.Namespace,
    *,
    flood: dict[str, float],
    view: dict[str, Any],
    deaths: int,
    calm: dict[str, float],
    after: dict[str, float],
) -> list[Row]:
    """What was held and what it cost. The raw figures are what the flooded peer counted; the kernel drops the others."""
    grown = {name: after[name] - calm.get(name, 0.0) for name in after}
    drops = {name.partition("=")[2]: [count] for name, count in grown.items() if name.startswith("reason=") and count}
    lag_s = quantile({float(name.partition("=")[2]): count for name, count in grown.items() if name.startswith("le=")}, 0.99)
    dropped = 0.0 if view["state"] == "completed" and view["frames"]["done"] == FRAMES else 1.0
    asked_s = options.seconds
    return [
        Row("flood: dropped jobs", 0.0, dropped, "", {}),
        Row("flood: false deaths", 0.0, float(deaths), "", {}),
        Row("flood: event loop lag of the flooded peer, p99", 0.25, lag_s, "s", {}),
        Row(f"flood: time for {flood['sent']:.0f} datagrams", 1.05 * asked_s, flood["seconds"], "s", drops),
    ]


@contextlib.contextmanager
def three(space: Namespace, folder: Path) -> Iterator[Ours]:
    """Peers with one slot each that all know one another."""
    listener = Listener()
    fleet = Ours(listener, folder, lambda index: Place(tuple(space.command()), "127.0.0.1", PORT + PORT_STEP * index))
    fleet.flags = ("--slots", "1")
    try:
        fleet.start(PEERS)
        fleet.wait(lambda: all(any("renderers_found" in line for line in one.lines) for one in fleet.daemons.values()), 30, None)
        yield fleet
    finally:
        fleet.close()
        listener.close()


def record(space: Namespace) -> list[bytes]:
    """Real datagrams on their way to the first peer."""
    with space.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    found: list[bytes] = []
    with tap:
        tap.settimeout(20)
        while len(found) < RECORDED:
            frame = tap.recv(65_535)
            header = 14 + 4 * (frame[14] & 15) if len(frame) > 42 else 0
            if header and frame[23] == UDP and struct.unpack_from(">H", frame, header + 2)[0] == PORT:
                found.append(frame[header + 8 :])
    return found


def ask(space: Namespace, request: str | urllib.request.Request) -> bytes:
    """An answer of the first peer."""
    with space.entered(), urllib.request.urlopen(request, timeout=60) as answer:
        body: bytes = answer.read()
    return body


def submit(space: Namespace) -> str:
    """A job of the renderer that only waits."""
    wishes = {"renderer": "null", "frames": f"1-{FRAMES}", "settings": {"frame_ms": FRAME_MS}}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/api/v1/jobs", json.dumps(wishes).encode(), headers)
    return str(json.loads(ask(space, request))["id"])


def finished(space: Namespace, job: str) -> dict[str, Any]:
    """The job when it has ended, or as it stands when that takes too long."""
    until_s = time.monotonic() + JOB_S_MAX
    while True:
        view: dict[str, Any] = json.loads(ask(space, f"http://127.0.0.1:{PORT}/api/v1/jobs/{job}"))
        if view["state"] in ("completed", "failed", "cancelled", "held") or time.monotonic() > until_s:
            return view
        time.sleep(0.2)


def metrics(space: Namespace) -> dict[str, float]:
    """Drops (`reason=...`) and the buckets of the event loop's lag (`le=...`) of the first peer."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(ask(space, f"http://127.0.0.1:{PORT}/metrics").decode()):
        for sample in family.samples:
            if family.name == "rendermesh_datagrams_dropped":
                found[f"reason={sample.labels['reason']}"] = sample.value
            elif sample.name == "rendermesh_event_loop_lag_seconds_bucket":
                found[f"le={sample.labels['le']}"] = sample.value
    return found


def quantile(buckets: dict[float, float], share: float) -> float:
    """The upper bound of the bucket in which the quantile of a cumulative histogram lies."""
    total = buckets[float("inf")]
    return min(bound for bound, count in buckets.items() if count >= share * total)
