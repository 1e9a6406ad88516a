"""What happened as seen from outside the peers: one JSON object per line, written by many threads, stamped by one clock.

`at` is seconds of the campaign's monotonic clock. Refuses to know what a line means.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Line = dict[str, Any]


class History:
    """Invariant: a line is on its way to the disk when `add` returns; `lines` holds the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[Line] = []
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8")

    @property
    def now(self) -> float:
        """Seconds since the campaign began."""
        return round(time.monotonic() - self._began, 3)

    def add(self, op: str, **fields: Any) -> Line:
        """Append a line; `at` may be given for what was noticed later than it happened."""
        text = json.dumps({"at": self.now, "op": op, **fields})
        line: Line = json.loads(text)
        with self._lock:
            self.lines.append(line)
            self._file.write(text + "\n")
            self._file.flush()
        return line

    def of(self, *ops: str) -> list[Line]:
        """The lines of these kinds, in the order in which they were written."""
        with self._lock:
            return [line for line in self.lines if line["op"] in ops]

    def close(self) -> None:
        """No more lines."""
        self._file.close()


def read(path: Path) -> Iterator[Line]:
    """The lines of a history that was kept."""
    with path.open(encoding="utf-8") as file:
        for text in file:
            yield json.loads(text)
