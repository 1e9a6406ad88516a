"""Network namespaces for tests: hosts on a switch of their own, with real sockets and iptables for the faults. Linux, root.

Each namespace is held open by a process that ends when its standard input does, so that nothing outlives a run, however
the run ends. Nothing here touches the machine's own network.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

CLONE_NEWNET = 0x4000_0000
COMMAND_S_MAX = 20.0
PROGRAMS = ("unshare", "nsenter", "ip", "iptables")
NETWORK = "10.83.0"


def why_not() -> str | None:
    """What keeps this machine from making namespaces, in words; None when nothing does."""
    if os.name != "posix" or not hasattr(os, "geteuid") or not Path("/proc/self/ns/net").exists():
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces are made as root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"these programs are missing: {', '.join(missing)}"
    done = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False, timeout=COMMAND_S_MAX)
    return None if done.returncode == 0 else f"unshare --net: {done.stderr.strip()}"


class Namespace:
    """A network of its own with nothing but its loopback, which is up. Ends with `close`, or with this process."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.path = f"/proc/{self._holder.pid}/ns/net"
        try:
            _wait_for_another(self.path)
            self.run("ip", "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """A process inside, for `ip link ... netns PID`."""
        return self._holder.pid

    def command(self, *words: str) -> list[str]:
        """`words` as a command line that runs inside."""
        return ["nsenter", f"--net={self.path}", *words]

    def run(self, *words: str) -> str:
        """Run a command inside to its end; its output. Raises `RuntimeError` when it fails."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=COMMAND_S_MAX)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def iptables(self, *words: str) -> None:
        """One `iptables -w` inside."""
        self.run("iptables", "-w", *words)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is inside meanwhile: sockets that it opens are of this namespace and stay there."""
        libc = ctypes.CDLL(None, use_errno=True)
        home, inside = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(self.path, os.O_RDONLY)
        try:
            _enter(libc, inside)
            try:
                yield
            finally:
                _enter(libc, home)
        finally:
            os.close(home)
            os.close(inside)

    def close(self) -> None:
        """Let go. What still runs inside keeps it."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait(COMMAND_S_MAX)


def _enter(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _wait_for_another(path: str) -> None:
    own, until = Path("/proc/self/ns/net").readlink(), time.monotonic() + COMMAND_S_MAX
    while Path(path).readlink() == own:
        if time.monotonic() > until:
            raise RuntimeError("unshare has made no namespace")
        time.sleep(0.005)


class Host(Namespace):
    """A namespace with one cable to a switch: interface `eth0`, one address."""

    def __init__(self, switch: Namespace, number: int) -> None:
        super().__init__()
        self.number = number
        self.address = f"{NETWORK}.{number}"
        self._switch = switch
        try:
            self.plug()
        except BaseException:
            self.close()
            raise

    def plug(self) -> None:
        """Put the cable in, with the same address as before."""
        port = f"port{self.number}"
        ends = ("netns", str(self._switch.pid), "type", "veth", "peer", "name", "eth0", "netns", str(self.pid))
        self._switch.run("ip", "link", "add", port, *ends)
        self._switch.run("ip", "link", "set", port, "master", "switch", "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    def unplug(self) -> None:
        """The interface is gone, its address with it."""
        self.run("ip", "link", "delete", "eth0")

    def lose(self, share: float) -> None:
        """From now on every packet that arrives is lost with this probability."""
        self.iptables(
            "-A", "INPUT", "-i", "eth0", "-m", "statistic", "--mode", "random", "--probability", str(share), "-j", "DROP"
        )

    def deaf_to(self, others: Sequence[Host], *match: str) -> None:
        """Nothing of `others` arrives any more (that fits `match`, words of iptables); the other direction is open."""
        for other in others:
            self.iptables("-A", "INPUT", "-s", other.address, *match, "-j", "DROP")

    def well(self) -> None:
        """No fault any more."""
        self.iptables("-F", "INPUT")


@contextlib.contextmanager
def lan(count: int) -> Iterator[list[Host]]:
    """`count` hosts on one switch."""
    with contextlib.ExitStack() as stack:
        switch = Namespace()
        stack.callback(switch.close)
        switch.run("ip", "link", "add", "switch", "type", "bridge")
        switch.run("ip", "link", "set", "switch", "up")
        hosts = []
        for number in range(1, count + 1):
            hosts.append(Host(switch, number))
            stack.callback(hosts[-1].close)
        yield hosts


class Alone(Namespace):
    """A namespace with its loopback only, as a context."""

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def partition(one: Sequence[Host], other: Sequence[Host]) -> None:
    """Neither side hears the other."""
    for host in one:
        host.deaf_to(other)
    for host in other:
        host.deaf_to(one)
