"""The house rules hold, each is proven to bite, and the list of exceptions only shrinks."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

import pytest

from tests.tidy import PLACES, RULES, Complaint, File, project_files

EXCEPTIONS: Final = Path(__file__).with_name("tidy_exceptions.toml")
FILES: Final = project_files()


def exceptions() -> dict[str, dict[str, str]]:
    return tomllib.loads(EXCEPTIONS.read_text(encoding="utf-8"))


def complaints(rule: str, *files: File) -> list[str]:
    return [str(complaint) for complaint in RULES[rule](list(files))]


@pytest.mark.parametrize("rule", RULES)
def test_the_project_is_tidy(rule: str):
    excused = exceptions().get(rule, {})
    found: list[Complaint] = [complaint for complaint in RULES[rule](FILES) if complaint.path not in excused]
    assert [str(complaint) for complaint in found] == []


def test_every_exception_is_still_needed_and_has_a_reason():
    for rule, excused in exceptions().items():
        needed = {complaint.path for complaint in RULES[rule](FILES)}
        assert sorted(set(excused) - needed) == [], f"take these out of [{rule}] in {EXCEPTIONS.name}"
        assert all(reason.strip() for reason in excused.values())


def test_the_files_that_are_looked_at_are_the_project():
    paths = {file.path for file in FILES}
    assert {"peer/config.py", "protocol/ids.py", "tests/test_tidy.py", "scripts/test", ".ci/run", "pyproject.toml"} <= paths
    assert [path for path in paths if path.startswith((".venv", ".git/"))] == []


def function(lines: int) -> str:
    return "def f():\n" + "    x = 1\n" * (lines - 1)


BITES: Final = {
    "long_module": (File("peer/a.py", "x = 1\n" * 501), File("peer/a.py", "x = 1\n" * 500)),
    "long_function": (File("peer/a.py", function(61)), File("peer/a.py", function(60))),
    "empty_name": (File("peer/net/http_utils.py", ""), File("peer/net/based.py", "")),
    "environment": (
        File("peer/a.py", "import os\nx = os.environ['A']\n"),
        File("peer/config.py", "import os\nx = os.environ['A']\n"),
    ),
    "no_mirror_test": (File("peer/net/a.py", function(3)), File("peer/net/a.py", "class P:\n    def f(self):\n        ...\n")),
    "no_package_file": (File("tests/x/test_a.py", ""), File("scripts/a.py", "")),
    "set_order": (
        File("protocol/a.py", "for x in {1, 2}:\n    pass\n"),
        File("protocol/a.py", "for x in sorted({1, 2}):\n    pass\n"),
    ),
    "sleep_in_test": (
        File("tests/x/test_a.py", "import time\ntime.sleep(1)\n"),
        File("tests/x/test_a.py", "import asyncio\nasyncio.sleep(0)\n"),
    ),
    "untested_failpoint": (
        File("peer/failpoints.py", 'NAMES: Final = ("reply before",)\n'),
        File("peer/failpoints.py", "NAMES: Final = ()\n"),
    ),
    "place": (File("README.md", f"see {PLACES[0]}main"), File("README.md", "see the networks/ folder")),
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_bites_and_does_not_bite_too_much(rule: str):
    wrong, right = BITES[rule]
    assert complaints(rule, wrong) != []
    assert complaints(rule, right) == []


@pytest.mark.parametrize("word", PLACES)
def test_every_place_is_found(word: str):
    assert complaints("place", File("scripts/x", f"cd {word}"))


@pytest.mark.parametrize("text", ["from os import environ\n", "import os\nos.getenv('A')\n", "from os import path, getenv\n"])
def test_every_way_to_read_the_environment_is_found(text: str):
    assert complaints("environment", File("protocol/a.py", text))


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("[x for x in set(y)]", True),
        ("list({x for x in y})", True),
        ("sorted(x for x in set(y))", False),
        ("sum(x for x in {1, 2})", False),
        ("{x: 1 for x in frozenset(y)}", True),
    ],
)
def test_the_order_of_a_set_is_found_where_it_matters(text: str, bad: bool):
    assert bool(complaints("set_order", File("protocol/a.py", text))) is bad


def test_a_mirror_stands_in_the_same_folder():
    source = File("peer/store/journal.py", function(3))
    assert complaints("no_mirror_test", source, File("tests/peer/store/test_journal.py", "")) == []
    assert complaints("no_mirror_test", source, File("tests/peer/test_journal.py", "")) != []
    assert complaints("no_mirror_test", File("peer/__main__.py", function(3)), File("tests/peer/test_main.py", "")) == []


def test_every_parent_folder_is_a_package():
    files = [File("tests/__init__.py", ""), File("tests/a/b/__init__.py", ""), File("tests/a/b/test_x.py", "")]
    assert complaints("no_package_file", *files) == ["tests/a: has no __init__.py"]
