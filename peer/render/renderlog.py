"""The text that a renderer prints: cut into one bounded log per command at the driver's marks, and read for what it says.

Blender before 5 says how far it is only here. Refuses to know processes and pipes: bytes come in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from protocol import limits
from protocol.jobs.results import FailureClass

_HALF = limits.FRAME_LOG_BYTES_MAX // 2
_SAMPLE = re.compile(rb"(?:Sample|Rendering) (\d{1,9}) ?/ ?(\d{1,9})(?!\d)")
_NUMBER = re.compile(rb"\d{1,18}\s*\Z")


@dataclass(frozen=True, slots=True)
class Pattern:
    """`text` in a renderer's log of versions [since, before) means a failure of class `kind`."""

    text: re.Pattern[str]
    kind: FailureClass
    since: tuple[int, int] = (0, 0)
    before: tuple[int, int] = (1_000, 0)


PATTERNS: tuple[Pattern, ...] = (
    Pattern(re.compile(r"Malloc returns null|Calloc returns null|std::bad_alloc|\bMemoryError\b|[Oo]ut of memory"), "memory"),
    Pattern(re.compile(r"System is out of GPU(?: and shared host)? memory"), "memory"),
    Pattern(re.compile(r"Failed to allocate|Insufficient memory"), "memory", since=(5, 0)),
    Pattern(re.compile(r"No space left on device|Read-only file system"), "infrastructure"),
)


def classify(log: str, version: tuple[int, int]) -> FailureClass | None:
    """What the log says that the process died of, if it says anything that we know."""
    for pattern in PATTERNS:
        if pattern.since <= version < pattern.before and pattern.text.search(log):
            return pattern.kind
    return None


class BoundedText:
    """The beginning and the end of a text of any length. Invariant: holds at most `limits.FRAME_LOG_BYTES_MAX` bytes."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, line: bytes) -> None:
        """Append one line with its newline."""
        if len(self._head) + len(line) <= _HALF and not self._tail:
            self._head += line
            return
        self._tail += line
        surplus = len(self._tail) - _HALF
        if surplus > 0:
            self._dropped += surplus
            del self._tail[:surplus]

    def text(self) -> str:
        """Everything, with a line where something is left out."""
        gap = f"\n[{self._dropped} bytes left out]\n" if self._dropped else ""
        return self._head.decode("utf-8", "replace") + gap + self._tail.decode("utf-8", "replace")


class LogReader:
    """Cuts a stream of bytes into lines and lines into logs.

    Invariants: a line longer than `limits.RENDER_LOG_LINE_BYTES_MAX` is cut; only a line with this process's token ends a log,
    so that nothing a scene prints can.
    """

    def __init__(self, token: str, on_mark: Callable[[int, str], None], on_sample: Callable[[int, int], None]) -> None:
        self._mark = f"\x1e{token} ".encode()
        self._on_mark = on_mark
        self._on_sample = on_sample
        self._partial = bytearray()
        self._log = BoundedText()

    def feed(self, data: bytes) -> None:
        """Take what the process printed."""
        self._partial += data
        *lines, rest = self._partial.split(b"\n")
        for line in lines:
            self._line(bytes(line[: limits.RENDER_LOG_LINE_BYTES_MAX]))
        self._partial = rest[: limits.RENDER_LOG_LINE_BYTES_MAX]

    def rest(self) -> str:
        """What was printed since the last mark: the last words of a process that died."""
        if self._partial:
            self._log.add(bytes(self._partial))
            self._partial = bytearray()
        return self._log.text()

    def _line(self, line: bytes) -> None:
        if line.startswith(self._mark) and _NUMBER.match(line, len(self._mark)):
            text, self._log = self._log.text(), BoundedText()
            self._on_mark(int(line[len(self._mark) :]), text)
        elif line.startswith(b"Fra:"):
            self._status(line)
        elif line.strip():
            self._log.add(line + b"\n")

    def _status(self, line: bytes) -> None:
        """Status lines of Blender before 5: forty and more per frame, worth a number and not kept."""
        match = _SAMPLE.search(line)
        if match is not None:
            self._on_sample(int(match[1]), int(match[2]))
