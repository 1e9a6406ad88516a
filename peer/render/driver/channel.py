"""The pipe pair to the daemon: length-limited JSON lines in both directions, a beat every second, marks in the log.

Knows nothing of Blender. When the daemon is gone the process ends itself, on every platform.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from typing import Any, NoReturn

LINE_BYTES_MAX = 1_048_576
"""Longest line in either direction, the newline included; `protocol.limits.DRIVER_LINE_BYTES_MAX` is the same number."""

BEAT_S = 1.0


class Channel:
    """Commands in, reports out. Invariant: a report is one whole line, also when several threads report."""

    def __init__(self, commands: int, reports: int, token: str) -> None:
        self._commands = commands
        self._reports = reports
        self._token = token
        self._lock = threading.Lock()
        self._read = b""
        for descriptor in (commands, reports):
            os.set_inheritable(descriptor, False)

    def receive(self) -> dict[str, Any] | None:
        """The next command, or None when the daemon has closed the pipe. Blocks."""
        while b"\n" not in self._read:
            if len(self._read) > LINE_BYTES_MAX:
                raise ValueError("a command is longer than a line may be")
            piece = os.read(self._commands, 65_536)
            if not piece:
                return None
            self._read += piece
        line, self._read = self._read.split(b"\n", 1)
        command: dict[str, Any] = json.loads(line)
        return command

    def send(self, report: dict[str, Any]) -> None:
        """Write one report. A report that is too long becomes a failure that says so."""
        line = json.dumps(report).encode() + b"\n"
        if len(line) > LINE_BYTES_MAX:
            text = f"the driver's report is {len(line)} bytes long, more than a line may be"
            line = json.dumps({"id": report.get("id"), "event": "failed", "kind": "renderer", "reason": text}).encode() + b"\n"
        with self._lock:
            _write_all(self._reports, line)

    def mark(self, number: int) -> None:
        """Flush everything printed so far, by Python and by C, and end the log of command `number` with a marked line."""
        sys.stdout.flush()
        sys.stderr.flush()
        _flush_c()
        _write_all(1, f"\n\x1e{self._token} {number}\n".encode())

    def beat(self) -> None:
        """Begin to report once a second that the process lives; ends the process when nobody listens any more."""
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_S)
            try:
                self.send({"event": "beat"})
            except OSError:
                _end_group()


def end_process(code: int) -> NoReturn:
    """End without Blender's own teardown: as a module it may crash in there."""
    _flush_c()
    os._exit(code)


def _end_group() -> NoReturn:
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _flush_c() -> None:
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
