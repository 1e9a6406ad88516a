"""Plants mistakes and runs the tests that must catch them: `python -m tests.protocol.membership.mutations.planting FOLDER N...`.

Each mistake goes into a copy of `protocol/`; a forked child then runs the behaviour's tests against that copy. One line of
JSON per number: `{"number": 7, "code": 1}`, the code being pytest's.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tests.planting import copied, forked, mistake
from tests.protocol.membership.mutations.table import MUTATIONS

CLEAN: Final = 0  # the number of no mistake at all: every test of the table
OPTIONS: Final = (
    "-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly", "--no-header", "--timeout=60", "--hypothesis-seed=0",
)  # fmt: skip


def _run(tests: Sequence[str]) -> int:
    """In a child: pytest's exit code."""
    import pytest

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return int(pytest.main([*OPTIONS, *(f"tests/protocol/{test}" for test in tests)]))


def main(arguments: Sequence[str]) -> None:
    """Plant one mistake after the other."""
    folder = copied(Path(arguments[0]))
    for number in map(int, arguments[1:]):
        if number == CLEAN:
            every = dict.fromkeys(test for mutation in MUTATIONS.values() for test in mutation.tests)
            code = forked(folder, partial(_run, list(every)))
        else:
            mutation = MUTATIONS[number]
            with mistake(folder, mutation.file, mutation.edits):
                code = forked(folder, partial(_run, mutation.tests))
        print(json.dumps({"number": number, "code": code}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
