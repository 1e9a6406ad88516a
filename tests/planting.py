"""Mistakes that are planted into a copy of `protocol/`, and children that run on that copy.

A test that cannot fail proves nothing: the suites of membership and the simulator's campaign are shown sources with one small
mistake each. The parent never imports `protocol`; a forked child does, from the copy. Refuses to know what a child runs.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parents[1]
LIBRARIES: Final = ("blake3", "cryptography.hazmat.primitives.ciphers.aead", "msgpack", "pydantic", "pytest")
Edits = Sequence[tuple[str, str]]


def planted(text: str, edits: Edits) -> str:
    """The text with each edit made. Raises ValueError for an old text that is missing or stands there more than once."""
    for old, new in edits:
        if text.count(old) != 1:
            raise ValueError(f"stands there {text.count(old)} times: {old!r}")
        text = text.replace(old, new)
    return text


def source_of(file: str) -> str:
    """The sound text of a file, named below `protocol/`."""
    return (TOP / "protocol" / file).read_text(encoding="utf-8")


def copied(folder: Path) -> Path:
    """A copy of `protocol/` in `folder`, which is made. Imports what is not ours, so that children need not."""
    for name in LIBRARIES:
        importlib.import_module(name)
    shutil.copytree(TOP / "protocol", folder / "protocol", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@contextmanager
def mistake(folder: Path, file: str, edits: Edits) -> Iterator[None]:
    """The copy in `folder` has the edits in `file`, and is sound again afterwards."""
    target = folder / "protocol" / file
    sound = target.read_text(encoding="utf-8")
    target.write_text(planted(sound, edits), encoding="utf-8")
    try:
        yield
    finally:
        target.write_text(sound, encoding="utf-8")


def forked(folder: Path, action: Callable[[], int]) -> int:
    """The exit code of a child that imports the `protocol` in `folder` and returns what `action` does; 99 when it raises."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            sys.path.insert(0, str(folder))
            sys.dont_write_bytecode = True  # the next mistake may have the same size and second
            found = importlib.import_module("protocol").__path__[0]
            assert Path(found) == folder / "protocol", found
            os.chdir(TOP)
            code = action()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
