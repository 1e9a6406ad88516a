"""POV-Ray as a child of the driver: started for one frame, watched while it parses, ended with the driver.

Refuses to know what is rendered: an .ini comes in. Standard library only, and nothing of the daemon.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peer.render.driver.refusal import Refused
from peer.render.povray.output import Console
from peer.render.povray.plan import quoted

_PR_SET_PDEATHSIG: Final = 1
_VERSION: Final = re.compile(r"POV-Ray (\d{1,3}\.\d{1,3}(?:\.\d{1,5})?)\S*")
_BUILD: Final = re.compile(r"Built/Optimized for: (\S+)")
_LOOK_S: Final = 0.25
_PIECE_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Ended:
    """`code` is that of the process, negative for a signal; `parsed` says whether it got beyond parsing."""

    code: int
    text: str
    parsed: bool


class Program:
    """One povray on this machine. `read` are the folders that it is allowed besides its own."""

    def __init__(self, path: str, read: list[str]) -> None:
        self.path = path
        self._read = read

    def identity(self) -> dict[str, str]:
        """Version, and the build as it tells it. Raises `Refused` (`renderer`)."""
        said = subprocess.run(
            [self.path, "--version"], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False
        )
        text = said.stdout + said.stderr
        found, built = _VERSION.search(text), _BUILD.search(text)
        if found is None:
            words = text.strip().splitlines()[:1] or [f"it ended with {said.returncode}"]
            raise Refused("renderer", f"{self.path} does not say its version: {words[0][:300]}")
        return {"version": found[1], "build": f"{found[0]} {built[1] if built else ''}".strip()}

    def libraries(self) -> list[Path]:
        """Where this POV-Ray keeps the includes that come with it."""
        share = Path(self.path).parent.parent / "share"
        homes = sorted([*share.glob("povray-[0-9]*"), *share.glob("povray")], reverse=True)
        return [folder for home in homes for folder in (home, home / "include") if folder.is_dir()]

    def run(
        self, ini: str, place: Path, *, parse_s: float, on_line: Callable[[str], None],
        on_progress: Callable[[int, int], None], parse_only: bool = False,
    ) -> Ended:  # fmt: skip
        """Work in `place`, which is new and empty, until it ends, or with `parse_only` until it has parsed.

        Raises `Refused` (`stalled`) when parsing does not end in time: a loop of the scene's may have no end."""
        self._restrict(place)
        (place / "job.ini").write_text(ini, "utf-8")
        work = place / "work"
        work.mkdir()
        child = subprocess.Popen(
            [self.path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=work,
            env=self._environment(place), preexec_fn=_die_with_us if sys.platform.startswith("linux") else None,
        )  # fmt: skip
        console = Console(on_line, on_progress)
        try:
            parsed = _follow(child, console, parse_s, parse_only)
        finally:
            if child.poll() is None:
                child.kill()
            code = child.wait()
            console.end()
            if child.stdout is not None:
                child.stdout.close()
        return Ended(code, console.text, parsed)

    def _restrict(self, place: Path) -> None:
        """POV-Ray's own restrictions: no programs, which it keeps to; paths, of which it watches only some."""
        home = place / ".povray" / "3.7"
        home.mkdir(parents=True)
        rows = ["[File I/O Security]", "restricted", "[Shellout Security]", "forbidden", "[Permitted Paths]"]
        rows += [f"read* = {quoted(path)}" for path in [*self._read, *map(str, self.libraries())]]
        rows += [f"read+write* = {quoted(place)}"]
        (home / "povray.conf").write_text("\n".join(rows) + "\n", "utf-8")

    def _environment(self, place: Path) -> dict[str, str]:
        """A home of the frame's own, our options, and nothing else: what stands in this machine's files is not read."""
        own = {"HOME": place, "TMPDIR": place, "POVINI": place / "job.ini"}
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **{name: str(path) for name, path in own.items()}}


def _follow(child: subprocess.Popen[bytes], console: Console, parse_s: float, parse_only: bool) -> bool:
    """Read until the end; whether it got beyond parsing."""
    assert child.stdout is not None
    until = time.monotonic() + parse_s
    parsed = False
    while True:
        ready, _, _ = select.select([child.stdout], [], [], _LOOK_S)
        if ready:
            data = os.read(child.stdout.fileno(), _PIECE_BYTES)
            if not data:
                return parsed
            console.feed(data)
            parsed = parsed or console.phase not in ("", "Parsing")
        if parsed and parse_only:
            return True
        if not parsed and time.monotonic() > until:
            text = f"parsing has not ended after {parse_s:g} s: is there a loop without an end?"
            raise Refused("stalled", f"{text} (--setting parse_timeout_s=... allows more)")


def _die_with_us() -> None:
    """In the child, before it becomes POV-Ray: the kernel ends it when the driver ends (prctl(2), PR_SET_PDEATHSIG)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


_LIBC: Final = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
