"""The peers of a campaign: real `peerd` processes, each on a host of its own, and what can be done to their processes.

As root every peer lives in a network namespace, and one of them on a small file system of its own; else all are on loopback.
`close` ends what was started, by its id.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.orders import ROOT
from tests.e2e.netns import Host, lan, why_not

PROGRAMS: Final = Path(sys.executable).parent
PORT: Final = 7_700
SMALL_DISK: Final = "400m"
BALLAST_BYTES: Final = 2**20
PRELOADED: Final = tuple(Path("/usr/lib/fiu") / name for name in ("fiu_run_preload.so", "fiu_posix_preload.so"))
END_S: Final = 30.0
OURS: Final = ("PEER_", "PEERCTL_", "BLEND_FILE_PATH", "XDG_")


@dataclass(slots=True)
class Peer:
    """One peer and its place. Invariants: `process` is the one of the last start; `id` is known after the first `ready`.

    `expects_end`: its process may end by itself, and with which code."""

    index: int
    folder: Path
    data_dir: Path
    address: str
    port: int
    host: Host | None
    slots: int
    variables: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    id: str = ""
    is_ready: bool = False
    is_stopped: bool = False
    may_end: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    @property
    def pid(self) -> int:
        """Of the last start."""
        assert self.process is not None
        return self.process.pid

    @property
    def runs(self) -> bool:
        """Whether its process is there (it may be stopped, or not ready yet)."""
        return self.process is not None and self.process.poll() is None

    @property
    def is_up(self) -> bool:
        """Whether it runs, has said that it is ready, and is not stopped."""
        return self.runs and self.is_ready and not self.is_stopped

    def file(self, kind: str) -> Path:
        """What this start writes: `out` or `log`."""
        return self.folder / f"peerd-{self.starts}.{kind}"

    def begin(self, joins: Sequence[str], environment: dict[str, str]) -> None:
        """Start a process; its output goes to files of this start. It ends with the thread that calls this."""
        self.starts += 1
        self.is_ready = self.is_stopped = False
        self.may_end = ()
        words = ["setpriv", "--pdeathsig", "KILL", "env", *(f"{name}={value}" for name, value in self.variables.items())]
        words += [str(PROGRAMS / "peerd"), "--name", self.name, "--bind", self.address, "--port", str(self.port)]
        words += ["--data-dir", str(self.data_dir), "--slots", str(self.slots), *self.flags]
        for other in joins:
            words += ["--join", other]
        with self.file("out").open("wb") as out, self.file("log").open("wb") as log:
            self.process = subprocess.Popen(
                words if self.host is None else self.host.command(*words), stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                env=environment, cwd=self.folder, start_new_session=True,
            )  # fmt: skip

    def look(self) -> bool:
        """Whether it has just become ready; learns its id."""
        if self.is_ready or not self.runs:
            return False
        words = self.file("out").read_text(errors="replace").split()
        if words[:1] != ["ready"] or len(words) < 3:
            return False
        self.id, self.is_ready = words[2], True
        return True

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(END_S)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; remembers whether the process is stopped."""
        assert self.process is not None
        self.process.send_signal(number)
        if number in (signal.SIGSTOP, signal.SIGCONT):
            self.is_stopped = number is signal.SIGSTOP

    def fail_calls(self, call: str) -> bool:
        """From now on every `call` of the C library answers EIO. False when the process cannot be told."""
        command = ["fiu-ctrl", "-f", self.variables["FIU_CTRL_FIFO"], "-c", f"enable name={call},failinfo=5", str(self.pid)]
        try:
            return subprocess.run(command, capture_output=True, check=False, timeout=5).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def end_of_log(self, characters: int = 3_000) -> str:
        """For a report."""
        return self.file("log").read_text(errors="replace")[-characters:] if self.starts else ""


@dataclass(slots=True)
class Fleet:
    """All peers of a campaign, a spare host for a copied one, and what was left out with the reason.

    `clocked` runs under a clock that can be set, `small` on a file system that can be filled, `fragile` under libfiu."""

    folder: Path
    peers: list[Peer]
    spare: Peer
    home: Path
    clocked: Peer | None = None
    small: Peer | None = None
    fragile: Peer | None = None
    root: Path = Path()
    left_out: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Ours, without settings of peerd, with a home of the campaign's own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return {**kept, "HOME": str(self.home), "NO_COLOR": "1"}

    def begin(self, peer: Peer) -> None:
        """Start a peer that joins all others; on a full disk it would refuse to."""
        if peer is self.small:
            self.free()
        peer.begin([f"{other.address}:{other.port}" for other in self.peers if other is not peer], self.environment())

    def hosts(self, peers: Sequence[Peer]) -> list[Host]:
        """Their namespaces."""
        return [peer.host for peer in peers if peer.host is not None]

    def up(self) -> list[Peer]:
        """Peers that can answer."""
        return [peer for peer in self.peers if peer.is_up]

    def set_clock(self, offset: str) -> None:
        """Let the wall clock of the clocked peer jump, in faketime's words."""
        (self.folder / "clock").write_text(offset + "\n")

    def fill(self) -> None:
        """Use up every block of the small file system."""
        assert self.small is not None
        ballast = self.small.data_dir.parent / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(BALLAST_BYTES))
        with ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Give it back."""
        if self.small is not None:
            (self.small.data_dir.parent / "ballast").unlink(missing_ok=True)

    def close(self) -> None:
        """Kill what runs."""
        for peer in (*self.peers, self.spare):
            if peer.runs:
                peer.kill()


@contextmanager
def fleet(folder: Path, count: int, *, renderers: Sequence[str], everything: bool = True) -> Iterator[Fleet]:
    """`count` peers, none started. This thread is on the clients' host meanwhile, and threads that it starts are too.

    `everything` False leaves clocks, small disks and failing calls alone."""
    with ExitStack() as stack:
        made = _made(stack, folder, count, renderers)
        if everything:
            _prepare_clock(made)
            _prepare_small_disk(stack, made)
            _prepare_failing(made)
        stack.callback(made.close)
        yield made


def _made(stack: ExitStack, folder: Path, count: int, renderers: Sequence[str]) -> Fleet:
    (folder / "home").mkdir()
    (folder / "root").mkdir()
    key = folder / "mesh.key"
    subprocess.run([str(PROGRAMS / "peerctl"), "keygen", "--out", str(key)], check=True, capture_output=True, timeout=60)
    reason, left_out = why_not(), dict[str, str]()
    hosts: list[Host] = []
    if reason is None:
        hosts = stack.enter_context(lan(count + 2))
        stack.enter_context(hosts.pop().entered())
    else:
        left_out["partition"] = reason
    flags = ["--mesh-key-file", str(key), "--http", "plain", "--anonymous-role", "operator", "--preset", "local"]
    flags += ["--discovery", "static", "--log-format", "json", "--drain-grace-s", "5"]
    for name in renderers:
        flags += ["--renderer", name]
    peers = []
    for index in range(count + 1):
        name = f"p{index}" if index < count else "copy"
        place = folder / name
        place.mkdir()
        own = ["--output-root", f"{ROOT}={folder / 'root'}"] if index < 2 else []
        host = hosts[index] if hosts else None
        address = f"127.83.0.{index + 1}" if host is None else host.address
        peers.append(Peer(index, place, place / "data", address, PORT, host, 2 if index == 0 else 1))
        peers[-1].flags = (*flags, *own)
    spare = peers.pop()
    return Fleet(folder, peers, spare, folder / "home", root=folder / "root", left_out=left_out)


def _prepare_clock(made: Fleet) -> None:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        made.left_out["clock"] = "libfaketime is missing; on Debian: apt-get install -y faketime"
        return
    made.clocked = made.peers[0]
    made.set_clock("+0s")
    made.clocked.variables |= {
        "LD_PRELOAD": str(found[0]), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_TIMESTAMP_FILE": str(made.folder / "clock"),
    }  # fmt: skip


def _prepare_small_disk(stack: ExitStack, made: Fleet) -> None:
    peer = made.peers[-1]
    place = peer.folder / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        made.left_out["disk_full"] = "only root can mount a file system of its own"
        return
    stack.callback(lambda: subprocess.run(["umount", "--lazy", str(place)], check=True))
    made.small, peer.data_dir = peer, place / "data"


def _prepare_failing(made: Fleet) -> None:
    if not all(path.exists() for path in PRELOADED):
        made.left_out["io_error"] = "libfiu is missing; on Debian: apt-get install -y fiu-utils"
    elif len(made.peers) < 3:
        made.left_out["io_error"] = "it needs a third peer"
    else:
        made.fragile = made.peers[1]
        fifo = made.folder / "fiu"
        made.fragile.variables |= {"LD_PRELOAD": " ".join(map(str, PRELOADED)), "FIU_CTRL_FIFO": str(fifo)}


def put_back(copy: Path, data_dir: Path) -> None:
    """The data folder is what it was when `copy` was taken."""
    wipe(data_dir)
    take_copy(data_dir, copy)


def wipe(data_dir: Path) -> None:
    """Everything in the data folder is gone; scenes that were laid out are read-only."""
    subprocess.run(["chmod", "-R", "u+w", str(data_dir)], check=True, timeout=60)
    shutil.rmtree(data_dir)


def take_copy(copy: Path, data_dir: Path) -> None:
    """Copy a data folder, hard links and times included."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    if copy.exists():
        wipe(copy)
    subprocess.run(["cp", "-a", str(data_dir), str(copy)], check=True, timeout=60)
    (copy / "lock").unlink(missing_ok=True)


def wait_for(peers: Sequence[Peer], timeout_s: float) -> list[Peer]:
    """Wait until they are ready or have ended; those that are not ready."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        for peer in peers:
            peer.look()
        if all(peer.is_ready or not peer.runs for peer in peers):
            break
        time.sleep(0.05)
    return [peer for peer in peers if not (peer.is_ready and peer.runs)]
