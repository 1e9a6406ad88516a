"""Fleets of real daemons that tell what they see of one another: our `peerd` and Debian's `serf`, watched in the same way.

A fleet's only source is what each daemon writes the moment that it changes its mind: cheap for the daemons, and both are
timed by one clock, this process's, when the line arrives.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import IO, Literal

State = Literal["alive", "dead", "left"]
STARTS_AT_ONCE = 4
START_S_MAX = 180.0
SETTLE_S_MAX = 180.0
LINES_KEPT = 2_000
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a daemon runs: `prefix` puts a command line there, `address` is its own, `port` the first of three."""

    prefix: tuple[str, ...]
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Said:
    """At `at_s` (monotonic) the daemon `by` began to hold the one with the key `about` for `state`."""

    at_s: float
    by: int
    about: str
    state: State


@dataclass(slots=True)
class Daemon:
    """One process. `key` is what the others call it; `ready_s` is when it listened; `view` is what it holds of the others."""

    index: int
    process: subprocess.Popen[bytes]
    key: str = ""
    ready_s: float = 0.0
    view: dict[str, State] = field(default_factory=dict)
    tail: bytes = b""
    is_stopped: bool = False
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))

    def cpu_s(self) -> float:
        """Seconds of CPU since its start."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def resident_bytes(self) -> int:
        """Its resident set at present."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


class Listener:
    """One thread that reads every daemon's lines as they come. `changed` is notified after each that meant something."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def follow(self, pipe: IO[bytes], hear: Callable[[bytes, float], None]) -> None:
        """Hand on what comes through `pipe`, until its end; then it is closed."""
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, selectors.EVENT_READ, hear)
        os.write(self._wake_write, b".")

    def close(self) -> None:
        """Stop listening."""
        self._closing = True
        os.write(self._wake_write, b".")
        self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, BufferedReader):
                key.fileobj.close()
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select(1.0):
                data, now_s = os.read(key.fd, 65_536), time.monotonic()
                if key.data is None:
                    continue
                if not data:
                    self._selector.unregister(key.fileobj)
                    if isinstance(key.fileobj, BufferedReader):
                        key.fileobj.close()
                    continue
                with self.changed:
                    key.data(data, now_s)
                    self.changed.notify_all()


class Fleet:
    """Daemons by index. Invariant: `daemons` holds those that were started and not killed since."""

    name = ""

    def __init__(self, listener: Listener, folder: Path, places: Callable[[int], Place]) -> None:
        self.folder = folder
        self.places = places
        self.daemons: dict[int, Daemon] = {}
        self.said: list[Said] = []
        self._listener = listener
        folder.mkdir(parents=True)

    # what a kind of daemon is like

    def words(self, index: int, seeds: Sequence[int]) -> list[str]:
        """Its command line."""
        raise NotImplementedError

    def environ(self) -> dict[str, str]:
        """Its environment."""
        return dict(os.environ)

    def ready(self, index: int, line: str) -> str | None:
        """Its key, when `line` says that it listens."""
        raise NotImplementedError

    def news(self, line: str) -> tuple[str, State] | None:
        """What a line says of another (or itself)."""
        raise NotImplementedError

    def say_goodbye(self, daemon: Daemon) -> None:
        """Ask it to leave."""
        daemon.process.send_signal(signal.SIGTERM)

    # driving

    def launch(self, index: int, seeds: Sequence[int]) -> Daemon:
        """Start one; `wait_ready` afterwards."""
        place = self.places(index)
        command = [*place.prefix, "setpriv", "--pdeathsig", "KILL", *self.words(index, seeds)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=self.environ()
        )
        assert process.stdout is not None
        daemon = Daemon(index, process)
        self.daemons[index] = daemon
        self._listener.follow(process.stdout, lambda data, now_s: self._hear(daemon, data, now_s))
        return daemon

    def start(self, count: int) -> None:
        """Start `count`, a few at a time, and wait until everybody knows everybody."""
        for first in range(0, count, STARTS_AT_ONCE):
            batch = [self.launch(index, [0] if index else []) for index in range(first, min(first + STARTS_AT_ONCE, count))]
            for daemon in batch:
                self.wait_ready(daemon)
        self.settle()

    def wait_ready(self, daemon: Daemon) -> None:
        """Until it listens."""
        said, process = daemon.lines, daemon.process
        self.wait(lambda: bool(daemon.key) or process.poll() is not None, START_S_MAX, None)
        if not daemon.key:
            raise SystemExit(f"{self.name} {daemon.index} did not start: {list(said)}")

    def settle(self) -> None:
        """Until everybody that runs holds everybody that runs for alive."""
        self.wait(lambda: self.agreed(self.daemons), SETTLE_S_MAX, lambda: f"{self.name} does not settle: {self.doubts()}")

    def agreed(self, indexes: Iterable[int]) -> bool:
        """Whether these hold one another for alive."""
        some = [self.daemons[index] for index in indexes]
        return all(one is other or one.view.get(other.key) == "alive" for one in some for other in some)

    def doubts(self) -> list[str]:
        """Who does not hold whom for alive."""
        every = list(self.daemons.values())
        pairs = [(one, other) for one in every for other in every if one is not other and one.view.get(other.key) != "alive"]
        return [f"{one.index} of {other.index}: {one.view.get(other.key)}" for one, other in pairs][:20]

    def stop(self, index: int) -> None:
        """SIGSTOP: the host is silent, its kernel still takes connections."""
        self.daemons[index].is_stopped = True
        self.daemons[index].process.send_signal(signal.SIGSTOP)

    def go_on(self, index: int) -> None:
        """SIGCONT."""
        self.daemons[index].process.send_signal(signal.SIGCONT)
        self.daemons[index].is_stopped = False

    def kill(self, index: int) -> Daemon:
        """SIGKILL: its port refuses from now on."""
        daemon = self.daemons.pop(index)
        daemon.process.kill()
        daemon.process.wait()
        return daemon

    def leave(self, index: int) -> Daemon:
        """Ask it to leave, and take it out of the fleet; `wait_gone` afterwards."""
        daemon = self.daemons.pop(index)
        self.say_goodbye(daemon)
        return daemon

    def close(self) -> None:
        """Kill everything."""
        for index in list(self.daemons):
            self.kill(index)

    # watching

    def delays(self, key: str, states: Sequence[State], since_s: float, timeout_s: float) -> list[float]:
        """Seconds from `since_s` until each daemon that runs held `key` for one of `states`; `timeout_s` where it never did."""
        watched = [daemon.index for daemon in self.daemons.values() if not daemon.is_stopped and daemon.key != key]

        def heard() -> dict[int, float]:
            first: dict[int, float] = {}
            for one in self.said:
                if one.about == key and one.at_s >= since_s and one.state in states and one.by in watched:
                    first.setdefault(one.by, one.at_s - since_s)
            return first

        self.wait(lambda: len(heard()) == len(watched), timeout_s - (time.monotonic() - since_s), None)
        with self._listener.changed:
            found = heard()
        return sorted(found.get(index, timeout_s) for index in watched)

    def deaths(self, keys: Iterable[str], *, since_s: float) -> list[Said]:
        """Who was called dead since then, among `keys`."""
        wanted = set(keys)
        with self._listener.changed:
            return [one for one in self.said if one.at_s >= since_s and one.state == "dead" and one.about in wanted]

    def wait(self, is_so: Callable[[], bool], timeout_s: float, complaint: Callable[[], str] | None) -> bool:
        """Until it is so; when time runs out, end with the complaint, or just say so when there is none."""
        until = time.monotonic() + timeout_s
        with self._listener.changed:
            while not is_so():
                left = until - time.monotonic()
                if left <= 0:
                    if complaint is None:
                        return False
                    raise SystemExit(complaint())
                self._listener.changed.wait(min(left, 1.0))
        return True

    def _hear(self, daemon: Daemon, data: bytes, now_s: float) -> None:
        *lines, daemon.tail = (daemon.tail + data).split(b"\n")
        for raw in lines:
            line = raw.decode(errors="replace")
            daemon.lines.append(line)
            if not daemon.key and (key := self.ready(daemon.index, line)) is not None:
                daemon.key, daemon.ready_s = key, now_s
            elif (news := self.news(line)) is not None:
                daemon.view[news[0]] = news[1]
                self.said.append(Said(now_s, daemon.index, *news))


class Ours(Fleet):
    """`peerd` without work of its own; only its membership is watched. `flags` are added to each command line,
    `variables` to each environment."""

    name = "ours"
    flags: tuple[str, ...] = ()
    variables: Mapping[str, str] = MappingProxyType({})
    _STATES: dict[str, State] = {"joined": "alive", "returned": "alive", "died": "dead", "dead": "dead", "left": "left"}  # noqa: RUF012

    def words(self, index: int, seeds: Sequence[int]) -> list[str]:
        place = self.places(index)
        words = [sys.executable, "-m", "peer", "--name", f"p{index}", "--bind", place.address, "--port", str(place.port)]
        words += ["--data-dir", str(self.folder / f"p{index}"), "--mesh", "bench", "--renderer", "null", "--slots", "0"]
        words += ["--preset", "lan", "--log-format", "json", *self.flags]
        for seed in seeds:
            there = self.places(seed)
            words += ["--join", f"{there.address}:{there.port}"]
        return words

    def environ(self) -> dict[str, str]:
        folders = {"XDG_DATA_HOME": str(self.folder / "share"), "XDG_CONFIG_HOME": str(self.folder / "config")}
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PEER_")},
            **folders,
            **self.variables,
        }

    def ready(self, index: int, line: str) -> str | None:
        words = line.split()
        return words[2] if words[:1] == ["ready"] else None

    def news(self, line: str) -> tuple[str, State] | None:
        if not line.startswith("{"):
            return None
        said = json.loads(line)
        kind, _, verb = str(said.get("event", "")).replace("_", ".", 1).partition(".")
        state = self._STATES.get(verb) if kind in ("membership", "member") else None
        return None if state is None else (str(said["peer"]), state)


class Serf(Fleet):
    """`serf agent`, sealed too, with the profile that ours is named after."""

    name = "serf"
    _LINE = re.compile(r"serf: EventMember(Join|Failed|Leave): (\S+) ")
    _STATES: dict[str, State] = {"Join": "alive", "Failed": "dead", "Leave": "left"}  # noqa: RUF012

    def __init__(self, listener: Listener, folder: Path, places: Callable[[int], Place], program: str) -> None:
        super().__init__(listener, folder, places)
        self._program = program
        self._key = subprocess.run([program, "keygen"], capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    def words(self, index: int, seeds: Sequence[int]) -> list[str]:
        place = self.places(index)
        words = [self._program, "agent", "-node", f"s{index}", "-bind", f"{place.address}:{place.port}", "-profile", "lan"]
        words += ["-rpc-addr", f"127.0.0.1:{place.port + 1}", "-encrypt", self._key]
        for seed in seeds:
            there = self.places(seed)
            words += ["-retry-join", f"{there.address}:{there.port}"]
        return words

    def ready(self, index: int, line: str) -> str | None:
        return f"s{index}" if "Serf agent running" in line else None

    def news(self, line: str) -> tuple[str, State] | None:
        found = self._LINE.search(line)
        return None if found is None else (found[2], self._STATES[found[1]])

    def say_goodbye(self, daemon: Daemon) -> None:
        daemon.process.send_signal(signal.SIGINT)  # its way to leave; SIGTERM just ends it
