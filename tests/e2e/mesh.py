"""Real peers for tests: `peerd` processes with real sockets and disks, asked as any client asks them.

Every peer of a mesh has a mesh name of its own, free ports, and its data below the test's folder. `close` ends every process
by its id, whatever the test did. HTTP here blocks: what is waited for are other processes.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
import urllib3

from tests.waiting import wait_until

PROGRAMS: Final = Path(sys.executable).parent
READY_S: Final = 60.0
BLENDER_S: Final = 90.0
END_S: Final = 20.0
JOB_S: Final = 60.0
LOG_CHARS_SHOWN: Final = 6_000
OURS: Final = ("PEER_", "PEERCTL_", "BLEND_FILE_PATH", "XDG_")
FINAL: Final = ("completed", "failed", "cancelled", "held")


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(slots=True)
class PeerProcess:
    """One `peerd`. Invariant: `url` and `id` are those of the process that runs now (or ran last)."""

    name: str
    folder: Path
    arguments: tuple[str, ...]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    id: str = ""
    starts: int = 0
    program: tuple[str, ...] = (str(PROGRAMS / "peerd"),)
    _pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, timeout=30))

    # the process

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://").removeprefix("https://")

    @property
    def port(self) -> int:
        return int(self.host.rpartition(":")[2])

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, f"{self.name} was never started"
        return self.process

    def begin(self) -> None:
        """Start the process; its output goes to files of this start."""
        self.starts += 1
        with self._file("out").open("wb") as out, self._file("log").open("wb") as log:
            self.process = subprocess.Popen(
                [*self.program, *self.arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                env=self.environment, cwd=self.folder, start_new_session=True,
            )  # fmt: skip

    def _file(self, kind: str) -> Path:
        return self.folder / f"peerd-{self.starts}.{kind}"

    @property
    def log(self) -> str:
        """What it has said on stderr since its last start."""
        return self._file("log").read_text(errors="replace")

    @property
    def story(self) -> str:
        """The end of its log, for a failed test."""
        return self.log[-LOG_CHARS_SHOWN:] if self.starts else "it was never started"

    @property
    def is_ready(self) -> bool:
        """Whether it has said so; learns `url` and `id`. Fails the test when it has ended instead."""
        words = self._file("out").read_text().split()
        if len(words) == 3 and words[0] == "ready":
            _, self.url, self.id = words
            return True
        code = self.running.poll()
        assert code is None, f"{self.name} ended with {code} before it was ready:\n{self.story}"
        return False

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.running.kill()
        self.running.wait(END_S)

    def terminate(self) -> None:
        """SIGTERM: drain."""
        self.running.send_signal(signal.SIGTERM)

    async def ended(self, timeout_s: float = END_S) -> int:
        """Wait for its end; the exit code."""
        await wait_until(lambda: self.running.poll() is not None, timeout_s)
        return self.running.returncode

    def renderers(self) -> list[int]:
        """Pids of the Blenders that it has started, as its registry names them."""
        return [int(path.stem) for path in (self.data_dir / "renderers").glob("*.json") if path.stem.isdigit()]

    def relatives(self) -> list[int]:
        """Processes other than itself that belong to it: its children, and whatever works in its data folder."""
        return [process.pid for process in psutil.process_iter() if process.pid != self.running.pid and self._owns(process)]

    def _owns(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            mine = str(self.data_dir) + os.sep
            return process.ppid() == self.running.pid or any(mine in value for value in process.environ().values())
        except psutil.Error:
            return False

    # its HTTP

    def ask(
        self, method: str, path: str, *, json_body: object = None, fields: list[tuple[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """One request, any status. `fields` makes a form: values are texts, or (file name, bytes)."""
        reply = self._pool.request(method, self.url + path, json=json_body, fields=fields, headers=headers)
        return Answer(reply.status, reply.headers, reply.data)

    def get(self, path: str) -> Any:
        """The JSON at a path below `/api/v1`; the test fails on an error."""
        answer = self.ask("GET", "/api/v1" + path)
        assert answer.status == 200, f"GET {path}: {answer.status} {answer.text}"
        return answer.json

    def post(self, path: str, body: object = None) -> Any:
        """The same for POST, with a JSON body."""
        answer = self.ask("POST", "/api/v1" + path, json_body={} if body is None else body)
        assert answer.status in (200, 202), f"POST {path}: {answer.status} {answer.text}"
        return answer.json

    def submit(self, scene: Path | None = None, **spec: Any) -> str:
        """Submit a job; its id. Without a scene it is one of the null renderer."""
        answer = self.try_submit(scene, **spec)
        assert answer.status == 202, f"{answer.status} {answer.text}"
        job: str = answer.json["id"]
        return job

    def try_submit(self, scene: Path | None = None, **spec: Any) -> Answer:
        """The answer to a submission, whatever it is."""
        if scene is None:
            return self.ask("POST", "/api/v1/jobs", json_body={"renderer": "null", **spec})
        files = [("scene", (scene.name, scene.read_bytes()))]
        return self.ask("POST", "/api/v1/jobs", fields=[*((name, str(value)) for name, value in spec.items()), *files])

    def job(self, job: str) -> Any:
        return self.get(f"/jobs/{job}")

    def frames(self, job: str) -> list[Any]:
        """All frames of a job."""
        return list(self.get(f"/jobs/{job}/frames?limit=1000")["frames"])

    def events(self, *names: str) -> list[Any]:
        """What it has noted since its start, oldest first; with `names` only those events."""
        answer = self.ask("GET", "/api/v1/events?follow=false")
        rows = [json.loads(line[5:]) for line in answer.text.splitlines() if line.startswith("data:")]
        return [row for row in rows if not names or row["event"] in names]

    def peers(self, *states: str) -> list[Any]:
        """Peers as it sees them; by default those alive."""
        return [row for row in self.get("/peers?limit=1000")["peers"] if row["state"] in (states or ("alive",))]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples whose labels include `labels`."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = self.ask("GET", "/metrics").text.splitlines()
        found = [line for line in lines if line.startswith(name) and all(label in line for label in wanted)]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    async def until_ended(self, job: str, timeout_s: float = JOB_S, *, among: tuple[str, ...] = FINAL) -> Any:
        """Wait until a job has ended or is held; the job."""
        await wait_until(lambda: self.job(job)["state"] in among, timeout_s)
        return self.job(job)

    def close(self) -> None:
        """End it and all that belongs to it."""
        self._pool.clear()
        if self.process is None:
            return
        left = self.relatives()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(END_S)
        for pid in {*left, *self.relatives()}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


class Mesh:
    """The peers of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"test-{secrets.token_hex(6)}"
        self.peers: list[PeerProcess] = []
        self.home = folder / "home"
        self.home.mkdir()

    def environment(self) -> dict[str, str]:
        """Ours, without settings of peerd and peerctl, and with a home of the test's own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return {**kept, "HOME": str(self.home), "NO_COLOR": "1"}

    def prepare(
        self, name: str, *arguments: str, renderer: str = "null", join: PeerProcess | None = None, discovery: str = "static"
    ) -> PeerProcess:  # fmt: skip
        """A peer that is not started yet. `renderer` "" means what is found; without `join` it joins the first peer.

        `discovery` "" leaves it at its default."""
        folder = self.folder / name
        folder.mkdir()
        seed = join or (self.peers[0] if self.peers else None)
        given = ["--name", name, "--port", "0", "--data-dir", str(folder / "data"), "--preset", "local"]
        given += ["--discovery", discovery] if discovery else []
        given += ["--renderer", renderer] if renderer else []
        given += ["--mesh", self.name] if "--mesh-key-file" not in arguments else []
        given += ["--join", seed.host] if seed is not None and "--join" not in arguments else []
        peer = PeerProcess(name, folder, (*given, *arguments), self.environment())
        self.peers.append(peer)
        return peer

    async def start(self, name: str, *arguments: str, renderer: str = "null", join: PeerProcess | None = None) -> PeerProcess:
        """Start a peer and wait until it is ready (not until it has joined, nor found a renderer)."""
        peer = self.prepare(name, *arguments, renderer=renderer, join=join)
        peer.begin()
        await wait_until(lambda: peer.is_ready, READY_S)
        return peer

    async def start_many(self, *names: str, renderer: str = "null", arguments: tuple[str, ...] = ()) -> list[PeerProcess]:
        """Start peers, and wait until each sees all of them with a renderer."""
        peers = [await self.start(name, *arguments, renderer=renderer) for name in names]
        await self.together(peers)
        return peers

    async def together(self, peers: list[PeerProcess], timeout_s: float = BLENDER_S) -> None:
        """Wait until each of `peers` sees all of them alive with a renderer."""
        ids = {peer.id for peer in peers}

        def sees_all(peer: PeerProcess) -> bool:
            return ids <= {row["id"] for row in peer.peers() if row["capabilities"]}

        await wait_until(lambda: all(sees_all(peer) for peer in peers), timeout_s)

    async def restart(self, peer: PeerProcess, *, port: int | None = None) -> None:
        """Start an ended peer again in its folder, on its old port unless another is named."""
        arguments = list(peer.arguments)
        arguments[arguments.index("--port") + 1] = str(port if port is not None else peer.port)
        others = [other for other in self.peers if other is not peer and other.process and other.process.poll() is None]
        if others and "--join" not in arguments:
            arguments += ["--join", others[0].host]
        peer.arguments = tuple(arguments)
        peer.begin()
        await wait_until(lambda: peer.is_ready, READY_S)

    def by_id(self, peer_id: str) -> PeerProcess:
        return next(peer for peer in self.peers if peer.id == peer_id)

    def peerctl(self, peer: PeerProcess | None, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run peerctl to its end; its exit code, stdout and stderr."""
        return subprocess.run(
            self.peerctl_command(peer, *arguments), capture_output=True, text=True, timeout=timeout_s, check=False,
            env=self.environment(), cwd=self.folder,
        )  # fmt: skip

    def peerctl_command(self, peer: PeerProcess | None, *arguments: str) -> list[str]:
        """How `peerctl` is started against a peer (None: the local one)."""
        return [str(PROGRAMS / "peerctl"), *(("-H", peer.url) if peer is not None else ()), *arguments]

    def begin_peerctl(self, peer: PeerProcess, *arguments: str) -> subprocess.Popen[str]:
        """Start peerctl in a process group of its own, to be signalled."""
        return subprocess.Popen(
            self.peerctl_command(peer, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.environment(), cwd=self.folder, start_new_session=True,
        )  # fmt: skip

    def close(self) -> None:
        """End everything."""
        for peer in self.peers:
            peer.close()


def everywhere(peers: list[PeerProcess], is_so: Callable[[PeerProcess], bool]) -> Callable[[], bool]:
    """A predicate that holds when `is_so` holds for every peer."""
    return lambda: all(is_so(peer) for peer in peers)


def query(**values: str) -> str:
    """A query string."""
    return "?" + urllib.parse.urlencode(values)
