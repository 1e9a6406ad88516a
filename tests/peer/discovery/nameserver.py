"""A real dnsmasq on loopback, whose records a test changes."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest

from tests.waiting import wait_until


def free_port() -> int:
    """A port on 127.0.0.1 that was free a moment ago, for UDP and for TCP: a name server takes both."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as streams:
            datagrams.bind(("127.0.0.1", 0))
            port = int(datagrams.getsockname()[1])
            with suppress(OSError):
                streams.bind(("127.0.0.1", port))
                return port


class NameServer:
    """One dnsmasq. `hosts` are A and AAAA records, read anew by `change`; SRV records hold from the start."""

    def __init__(self, folder: Path, *, services: tuple[str, ...] = ()) -> None:
        self.hosts = folder / "hosts"
        self.hosts.write_text("")
        self._folder = folder
        self._services = services
        self._start()

    def _start(self) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [
                "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                f"--port={self.port}", "--listen-address=127.0.0.1", "--bind-interfaces", f"--addn-hosts={self.hosts}",
                "--local=/test/", "--local-ttl=1", "--user=", "--group=", f"--pid-file={self._folder / 'pid'}",
                *(f"--srv-host={service}" for service in self._services),
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    async def started(self) -> None:
        """Wait until it answers; it starts anew when another program took its port just before it."""
        for _ in range(5):
            await wait_until(lambda: self._process.poll() is not None or self._answers("ready.test") is not None)
            if self._process.poll() is None:
                return
            self._start()
        raise AssertionError(f"dnsmasq ends with {self._process.wait(10)}")

    def _answers(self, name: str) -> str | None:
        try:
            return dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", 0.2, self.port).to_text()
        except (OSError, dns.exception.DNSException):
            return None

    async def change(self, records: dict[str, tuple[str, ...]]) -> None:
        """These addresses by name, and no others; returns when they are served."""
        self.hosts.write_text("".join(f"{address} {name}\n" for name, found in records.items() for address in found))
        self._process.send_signal(signal.SIGHUP)
        name, found = next(iter(records.items()))
        await wait_until(lambda: found[0] in (self._answers(name) or ""))

    def stop(self) -> None:
        """End it; nothing answers any more."""
        self._process.terminate()
        self._process.wait(10)

    def pause(self) -> None:
        """Let it take questions and answer none."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again."""
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def name_server(folder: Path, *, services: tuple[str, ...] = ()) -> Iterator[NameServer]:
    """A name server for one test, or a skip where there is no dnsmasq."""
    if shutil.which("dnsmasq") is None:
        pytest.skip("needs dnsmasq (Debian: dnsmasq-base)")
    server = NameServer(folder, services=services)
    try:
        yield server
    finally:
        server.resume()
        server.stop()
