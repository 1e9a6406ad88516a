"""Real peers for benchmarks: `peerd` processes on this machine, and as much of their HTTP API as measuring needs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

START_S_MAX = 120.0
STOP_S_MAX = 30.0
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Peer:
    """A running `peerd`: where it listens, its id, its process and its log."""

    url: str
    id: str
    process: subprocess.Popen[str]
    folder: Path

    @property
    def seed(self) -> str:
        return urlsplit(self.url).netloc

    def get(self, path: str) -> Any:
        """The document under `path`."""
        if self.process.poll() is not None:
            raise SystemExit(f"{self.folder.name} has ended with {self.process.returncode}: {self.last_words()}")
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def last_words(self) -> str:
        """The end of its log."""
        return (self.folder / "log").read_text()[-4_000:]

    def submit(self, fields: dict[str, str], scene: Path) -> str:
        """Submit a job with its scene, streamed by curl as any client would; its id."""
        form = [part for name, value in fields.items() for part in ("-F", f"{name}={value}")]
        command = ["curl", "-sS", "--fail-with-body", *form, "-F", f"scene=@{scene}", self.url + "/api/v1/jobs"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1_800)
        if done.returncode:
            raise SystemExit(f"the submission failed: {done.stdout}{done.stderr}")
        return str(json.loads(done.stdout)["id"])

    def followed(self, job: str, *, timeout_s: float = 600.0) -> list[dict[str, Any]]:
        """Everything that this peer notes about a job until it has completed; ends the benchmark when it does not.

        One stream instead of questions: a client that polls would be measured with the peer."""
        rows: list[dict[str, Any]] = []
        until = time.monotonic() + timeout_s
        with urllib.request.urlopen(f"{self.url}/api/v1/jobs/{job}/events", timeout=timeout_s) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    rows.append(json.loads(line[6:]))
                    if rows[-1]["event"] == "job_completed":
                        return rows
                if time.monotonic() > until or (rows and rows[-1]["event"] in ("job_failed", "job_cancelled", "job_held")):
                    break
        raise SystemExit(f"the job has not completed: {json.dumps(self.get(f'/api/v1/jobs/{job}'), indent=1)}")

    def peak_bytes(self) -> int:
        """The peak resident set of the daemon itself. Linux."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


@contextmanager
def running(folder: Path, count: int, *flags: str) -> Iterator[list[Peer]]:
    """`count` peers that have found one another and a renderer each; ended when the context ends."""
    with ExitStack() as stack:
        peers: list[Peer] = []
        for index in range(count):
            peers.append(_start(folder / f"peer{index}", [peer.seed for peer in peers], flags))
            stack.callback(_stop, peers[-1])
        _wait_for_all(peers)
        yield peers


def _start(folder: Path, seeds: Sequence[str], flags: Sequence[str]) -> Peer:
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "peer", "--name", folder.name, "--port", "0", "--data-dir", str(folder / "data")]
    command += [*(part for seed in seeds for part in ("--join", seed)), "--preset", "local", "--log-format", "json", *flags]
    environ = {**os.environ, "XDG_DATA_HOME": str(folder.parent / "share"), "XDG_CONFIG_HOME": str(folder.parent / "config")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environ)
    assert process.stdout is not None
    words = process.stdout.readline().split()
    if words[:1] != ["ready"]:
        process.kill()
        process.wait()
        raise SystemExit(f"peerd did not start: {(folder / 'log').read_text()}")
    return Peer(words[1], words[2], process, folder)


def _stop(peer: Peer) -> None:
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        peer.process.send_signal(number)
        try:
            peer.process.wait(STOP_S_MAX / 3)
            break
        except subprocess.TimeoutExpired:
            continue
    assert peer.process.stdout is not None
    peer.process.stdout.close()


def _wait_for_all(peers: Sequence[Peer]) -> None:
    until = time.monotonic() + START_S_MAX
    while not all(_is_complete(peer, len(peers)) for peer in peers):
        if time.monotonic() > until:
            raise SystemExit(
                "the peers did not find one another and their renderers: " + json.dumps(peers[0].get("/api/v1/peers"))
            )
        time.sleep(POLL_S)


def _is_complete(peer: Peer, count: int) -> bool:
    seen = peer.get("/api/v1/peers")["peers"]
    return sum(1 for one in seen if one["state"] == "alive" and one["capabilities"]) == count
