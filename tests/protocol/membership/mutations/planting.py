"""Plants mistakes and runs the tests that must catch them: `python -m tests.protocol.membership.mutations.planting FOLDER N...`.

Each mistake goes into a copy of `protocol/`; a forked child then runs the behaviour's tests against that copy. The parent has
imported everything that is not ours before, so that a child costs its tests and little more. One line of JSON per number:
`{"number": 7, "code": 1}`, the code being pytest's.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parents[4]
CLEAN: Final = 0  # the number of no mistake at all: every test of the table


def planted(text: str, edits: Sequence[tuple[str, str]]) -> str:
    """The text with each edit made. Raises ValueError for an old text that is missing or stands there more than once."""
    for old, new in edits:
        if text.count(old) != 1:
            raise ValueError(f"stands there {text.count(old)} times: {old!r}")
        text = text.replace(old, new)
    return text


def _run(folder: Path, tests: Sequence[str]) -> int:
    """In a child: pytest's exit code for `tests` against the `protocol` in `folder`."""
    import pytest

    sys.path.insert(0, str(folder))
    import protocol

    assert Path(protocol.__path__[0]) == folder / "protocol"
    os.chdir(TOP)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        options = [
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            "--no-header",
            "--timeout=60",
            "--hypothesis-seed=0",
        ]
        return int(pytest.main([*options, *(f"tests/protocol/{test}" for test in tests)]))


def _forked(folder: Path, tests: Sequence[str]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = _run(folder, tests)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(arguments: Sequence[str]) -> None:
    """Plant one mistake after the other."""
    for name in ("cryptography.hazmat.primitives.ciphers.aead", "msgpack", "pydantic", "pytest"):  # for the children
        importlib.import_module(name)
    from tests.protocol.membership.mutations.table import MUTATIONS

    folder = Path(arguments[0])
    shutil.copytree(TOP / "protocol", folder / "protocol", ignore=shutil.ignore_patterns("__pycache__"))
    for number in map(int, arguments[1:]):
        if number == CLEAN:
            every = dict.fromkeys(test for mutation in MUTATIONS.values() for test in mutation.tests)
            print(json.dumps({"number": number, "code": _forked(folder, list(every))}), flush=True)
            continue
        mutation = MUTATIONS[number]
        target = folder / "protocol" / mutation.file
        sound = target.read_text(encoding="utf-8")
        target.write_text(planted(sound, mutation.edits), encoding="utf-8")
        print(json.dumps({"number": number, "code": _forked(folder, mutation.tests)}), flush=True)
        target.write_text(sound, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
