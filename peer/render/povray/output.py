"""What POV-Ray prints: its phases, its progress, and what its last words mean. Bytes come in; no processes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from peer.render.povray.references import Use

WORDS_BYTES_MAX: Final = 200_000
_PHASE: Final = re.compile(r"==== \[(.+?)\.*\] ====")
_PROGRESS: Final = re.compile(r"Rendered (\d{1,12}) of (\d{1,12}) pixels")
_LOST: Final = re.compile(r"Cannot find file '(.{1,2000}?)', even after trying")
_LOST_INCLUDE: Final = re.compile(r"Cannot open include file (.{1,2000}?)\.(?:\s|$)")
_TELLING: Final = re.compile(r"(?:Parse Error|Fatal error|Error in|Possible Parse Error|Image file|Cannot |Failed to ).*")
_MEMORY: Final = re.compile(r"[Oo]ut of memory|bad_alloc|Cannot allocate memory")
_DISK: Final = re.compile(r"No space left on device|Read-only file system|Disk full", re.IGNORECASE)
_WIDTH: Final = 80  # a word that does not fit goes on in the next line, without a blank
_BANNER_ENDS: Final = "Parser Options"


class Console:
    """Takes POV-Ray's console apart. `phase` is what it does now, `text` what is worth keeping."""

    def __init__(self, on_line: Callable[[str], None], on_progress: Callable[[int, int], None]) -> None:
        self._on_line = on_line
        self._on_progress = on_progress
        self._partial = b""
        self._banner: list[str] | None = []
        self._size = 0
        self._lines: list[str] = []
        self.phase = ""

    def feed(self, data: bytes) -> None:
        """Take what was printed; a line ends with either kind of return."""
        *lines, rest = (self._partial + data).replace(b"\r", b"\n").split(b"\n")
        self._partial = rest[-8_192:]
        for line in lines:
            self._line(line[:8_192].decode("utf-8", "replace"))

    def end(self) -> None:
        """Nothing more comes."""
        self.feed(b"\n")
        for line in self._banner or ():
            self._on_line(line)
        self._banner = None

    @property
    def text(self) -> str:
        """The lines that were kept, those that POV-Ray broke made whole."""
        whole: list[str] = []
        broken = False
        for line in self._lines:
            if whole and (broken or line.startswith(" ")):
                whole[-1] += line
            else:
                whole.append(line)
            broken = len(line) == _WIDTH and not line.startswith(("-", "="))
        return "\n".join(whole)

    def _line(self, line: str) -> None:
        progress = _PROGRESS.search(line)
        if progress is not None:
            self._on_progress(int(progress[1]), int(progress[2]))
            return
        if not line.strip():
            return
        phase = _PHASE.match(line)
        if phase is not None:
            self.phase = phase[1]
        if self._banner is not None:
            if not line.startswith(_BANNER_ENDS):
                self._banner = [*self._banner[-99:], line]
                self._keep(line)
                return
            self._banner = None
        self._keep(line)
        self._on_line(line)

    def _keep(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)
        while self._size > WORDS_BYTES_MAX:
            self._size -= len(self._lines.pop(0))


def lost(text: str) -> list[Use]:
    """The files that POV-Ray did not find, in its own words."""
    includes = _LOST_INCLUDE.findall(text)
    names = dict.fromkeys([*_LOST.findall(text), *includes])
    return [Use("include" if name in includes else "file", name) for name in names]


def reason(text: str, tree: str) -> str:
    """The sentence in which POV-Ray says what was wrong, without where this peer keeps the scene."""
    found = [line for line in text.splitlines() if _TELLING.search(line)]
    best = [line for line in found if "Parse Error" in line and "Possible" not in line] or found
    plain = (best or text.splitlines() or ["it said nothing"])[0 if best else -1]
    return " ".join(plain.replace(tree.rstrip("/") + "/", "").split())[:1_500]


def kind(text: str) -> str:
    """The class of a failure that POV-Ray told itself."""
    if _MEMORY.search(text):
        return "memory"
    return "infrastructure" if _DISK.search(text) else "scene"
