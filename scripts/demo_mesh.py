"""The demo's peers: three `peerd` processes, and the words in which the demo speaks.

Decides how they are started, awaited, asked and ended. Refuses to know what is rendered.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NoReturn

import psutil

PROGRAMS: Final = Path(sys.executable).parent
NAMES: Final = ("birch", "rowan", "willow")
READY_S: Final = 60.0
TOGETHER_S: Final = 180.0
RENDER_S: Final = 900.0
LEAVE_S: Final = 45.0
OURS: Final = ("PEER_", "PEERCTL_", "BLEND_FILE_PATH")


class DemoFailed(Exception):
    """Something that the demo promises did not hold; the text says what, and what to look at."""


def fail(text: str) -> NoReturn:
    raise DemoFailed(text)


def check(holds: bool, text: str) -> None:
    """Raise `DemoFailed` unless `holds`."""
    if not holds:
        fail(text)


# telling


def paint(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def chapter(text: str) -> None:
    print("\n" + paint(text, "1"), flush=True)


def tell(text: str) -> None:
    print("  " + text, flush=True)


def wait_until(ready: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    """Poll; raise `DemoFailed` with the text of `otherwise` when time has run out."""
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            fail(otherwise())
        time.sleep(0.1)


def shown(path: Path) -> str:
    """A path as it is typed from the checkout, where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def plain_environment() -> dict[str, str]:
    """Ours without settings of peerd and peerctl: the demo is the same whatever is set outside."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


# the mesh


@dataclass(slots=True)
class Peer:
    """One `peerd` of ours."""

    name: str
    process: subprocess.Popen[str]
    log: Path
    url: str = ""
    id: str = ""

    def get(self, path: str) -> Any:
        """A JSON answer of the peer. Raises `DemoFailed` when it does not answer."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=15) as answer:
                return json.load(answer)
        except OSError as error:
            fail(f"peer {self.name} does not answer ({error}); its log: {self.log}")

    def events(self) -> list[dict[str, Any]]:
        """What the peer has noted so far, oldest first."""
        with urllib.request.urlopen(f"{self.url}/api/v1/events?follow=false", timeout=15) as answer:
            lines = answer.read().decode().splitlines()
        return [json.loads(line[5:]) for line in lines if line.startswith("data:")]


class Mesh:
    """Three peers. Invariant: what `start` has begun, `stop` ends, whatever happened between."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.name = f"demo-{secrets.token_hex(4)}"
        self.peers: list[Peer] = []

    def start(self) -> None:
        """Start all; each joins the first. Free ports, folders of their own, and no settings from outside."""
        config = self.run / "peer.toml"
        config.write_text("# the demo's peers take their settings from the command line alone\n")
        for name in NAMES:
            peer = self._begin(name, config)
            self.peers.append(peer)
            self._await_ready(peer)
            tell(f"peer {paint(peer.name, '1')} is ready at {peer.url} (id {peer.id[:12]}, pid {peer.process.pid})")

    def _begin(self, name: str, config: Path) -> Peer:
        folder = self.run / name
        folder.mkdir()
        command = [str(PROGRAMS / "peerd"), "--config", str(config), "--name", name, "--port", "0", "--mesh", self.name]
        command += ["--data-dir", str(folder / "data"), "--preset", "local", "--discovery", "static", "--log-format", "json"]
        if self.peers:
            command += ["--join", self.peers[0].url.removeprefix("http://")]
        log = folder / "peerd.log"
        with log.open("w") as file:
            process = subprocess.Popen(  # a session of its own: Ctrl-C here is ours to handle, and --keep outlives the terminal
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file, text=True, env=plain_environment(),
                start_new_session=True,
            )  # fmt: skip
        return Peer(name, process, log)

    def _await_ready(self, peer: Peer) -> None:
        output: IO[str] | None = peer.process.stdout
        assert output is not None
        heard, _, _ = select.select([output], [], [], READY_S)  # also when the peer ends: the line is empty then
        words = output.readline().split() if heard else []
        if len(words) != 3 or words[0] != "ready":
            fail(f"peer {peer.name} did not start; its log {peer.log} ends with:\n{peer.log.read_text()[-1500:]}")
        _, peer.url, peer.id = words

    def await_together(self) -> None:
        """Until each peer sees all three alive, each with a Blender."""
        wait_until(lambda: all(self._sees_all(peer) for peer in self.peers), TOGETHER_S, self._why_apart)
        capabilities = self.peers[0].get(f"peers/{self.peers[0].id}")["capabilities"]
        capability = next(one for one in capabilities if one["renderer"] == "blender")
        home = "the module bpy" if capability.get("home") == "bpy" else "a program"
        tell(f"each of the three sees the other two, and each has found a Blender: {capability['version']} ({home})")

    def _sees_all(self, peer: Peer) -> bool:
        rows = [row for row in peer.get("peers")["peers"] if row["state"] == "alive"]
        ready = [row for row in rows if any(one.get("renderer") == "blender" for one in row["capabilities"])]
        return len(ready) == len(NAMES)

    def _why_apart(self) -> str:
        lines = []
        for peer in self.peers:
            for row in peer.get("peers")["peers"]:
                reasons = "; ".join(row["renderer_reasons"])
                lines.append(f"  {peer.name} sees {row['name']} {row['state']}, renderers {len(row['capabilities'])} {reasons}")
        return f"after {TOGETHER_S:.0f} s the peers were not together with a Blender each:\n" + "\n".join(lines)

    def by_id(self, peer_id: str | None) -> Peer:
        """The peer of that id. Raises `DemoFailed` for a stranger."""
        found = [peer for peer in self.peers if peer.id == peer_id]
        return found[0] if found else fail(f"{peer_id} is none of the three peers")

    def stop(self, *, at_once: bool) -> list[str]:
        """SIGTERM to all (`at_once`: a second one, which no frame is finished for), then SIGKILL to what stays.

        What was not right about it, in sentences.
        """
        wrong = []
        below = {peer.name: children(peer.process.pid) for peer in self.peers}
        for _ in range(2 if at_once else 1):
            for peer in self.peers:
                if peer.process.poll() is None:
                    peer.process.terminate()
            time.sleep(0.2)  # two signals at the same moment are one
        for peer in self.peers:
            try:
                code = peer.process.wait(timeout=LEAVE_S)
            except subprocess.TimeoutExpired:
                peer.process.kill()
                code = peer.process.wait()
                wrong.append(f"peer {peer.name} did not end within {LEAVE_S:.0f} s of SIGTERM")
            if code != 0:
                wrong.append(f"peer {peer.name} ended with exit code {code}; its log: {peer.log}")
            wrong += [f"process {pid} of peer {peer.name} outlived it" for pid in survivors(below[peer.name])]
        return wrong


def children(leader: int) -> list[psutil.Process]:
    """Every process below `leader` now: Blenders and verifiers."""
    try:
        return psutil.Process(leader).children(recursive=True)
    except psutil.Error:
        return []


def survivors(processes: list[psutil.Process]) -> list[int]:
    """Pids of those that still run, killed on sight: there should be none once their peer has ended."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def peerctl(peer: Peer, *arguments: str) -> None:
    """Run peerctl before the user's eyes. Raises `DemoFailed` unless it ends with 0."""
    command = ["peerctl", "-H", peer.url.removeprefix("http://"), *arguments]
    tell(paint("$ " + " ".join(shown(Path(word)) if word.startswith("/") else word for word in command), "36"))
    done = subprocess.run([str(PROGRAMS / "peerctl"), *command[1:]], env=plain_environment(), timeout=RENDER_S, check=False)
    check(done.returncode == 0, f"{' '.join(command)} ended with exit code {done.returncode}")
