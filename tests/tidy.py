"""House rules that no linter knows, as functions from files to complaints. `tests/test_tidy.py` runs and proves them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parent.parent
FUNCTION_LINES_MAX: Final = 60
MODULE_LINES_MAX: Final = 500
EMPTY_NAMES: Final = frozenset({"util", "utils", "helper", "helpers", "common", "manager", "base", "misc"})
READERS_OF_THE_ENVIRONMENT: Final = frozenset({"peer/config.py", "peer/cli/settings.py"})
SOURCES: Final = ("peer", "protocol")
WRITTEN: Final = ("peer", "protocol", "tests", "scripts", "deploy", ".ci")  # folders whose texts are ours
# In pieces, so that this file does not say them. Paths of a particular machine have no place in a project.
PLACES: Final = (
    "/".join(("", "work", "")),
    "/".join(("shared", "design")),
    "/".join(("shared", "tools")),
    "/".join(("", "farm", "")),
)
ANY_ORDER: Final = frozenset({"sorted", "sum", "min", "max", "any", "all", "len", "set", "frozenset"})


@dataclass(frozen=True, slots=True)
class File:
    """One file of the project: `path` relative to the top with forward slashes, and its text."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        """The parsed module. Only for Python files."""
        return ast.parse(self.text, self.path)

    @property
    def is_python(self) -> bool:
        return self.path.endswith(".py")

    @property
    def is_source(self) -> bool:
        return self.is_python and self.path.split("/")[0] in SOURCES


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong in `path`; exceptions are listed by rule and path."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


Rule = Callable[[list[File]], Iterator[Complaint]]


def long_module(files: list[File]) -> Iterator[Complaint]:
    """A module has at most 500 lines: beyond, there is a wall to move."""
    for file in files:
        lines = file.text.count("\n")
        if file.is_python and lines > MODULE_LINES_MAX:
            yield Complaint(file.path, f"{lines} lines; a module has at most {MODULE_LINES_MAX}")


def long_function(files: list[File]) -> Iterator[Complaint]:
    """A function has at most 60 lines, decorators not counted."""
    for file in files:
        if file.is_python:
            for node in _functions(file.tree):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    yield Complaint(file.path, f"{node.name} has {lines} lines; a function has at most {FUNCTION_LINES_MAX}")


def empty_name(files: list[File]) -> Iterator[Complaint]:
    """No module or folder is named after nothing in particular."""
    for file in files:
        if file.is_python:
            for part in file.path.removesuffix(".py").split("/"):
                if EMPTY_NAMES.intersection(part.lower().split("_")):
                    yield Complaint(file.path, f"{part!r} says nothing; name the module after what it decides or does")


def environment(files: list[File]) -> Iterator[Complaint]:
    """The environment is read in two places only; values are handed on from there."""
    for file in files:
        if file.is_source and file.path not in READERS_OF_THE_ENVIRONMENT:
            for node in ast.walk(file.tree):
                if isinstance(node, ast.expr | ast.stmt) and _reads_environment(node):
                    yield Complaint(file.path, f"line {node.lineno} reads the environment; take the value as an argument")


def _reads_environment(node: ast.AST) -> bool:
    names = {"environ", "environb", "getenv", "getenvb"}
    if isinstance(node, ast.Attribute):
        return node.attr in names and isinstance(node.value, ast.Name) and node.value.id == "os"
    return isinstance(node, ast.ImportFrom) and node.module == "os" and any(alias.name in names for alias in node.names)


def no_mirror_test(files: list[File]) -> Iterator[Complaint]:
    """peer/store/journal.py is tested by tests/peer/store/test_journal.py, unless it holds no logic at all."""
    known = {file.path for file in files}
    for file in files:
        if file.is_source and not file.path.endswith("/__init__.py") and _has_logic(file.tree):
            folder, _, name = file.path.rpartition("/")
            mirror = f"tests/{folder}/test_{name.strip('_').replace('__.py', '.py')}"
            if mirror not in known:
                yield Complaint(file.path, f"has no {mirror}")


def _has_logic(tree: ast.Module) -> bool:
    return any(any(not _says_nothing(statement) for statement in node.body) for node in _functions(tree))


def _says_nothing(statement: ast.stmt) -> bool:
    """A docstring, `...` or `pass`."""
    return isinstance(statement, ast.Pass) or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))


def no_package_file(files: list[File]) -> Iterator[Complaint]:
    """Every folder with Python in it below tests/, peer/ and protocol/ is a package (else tests/protocol shadows protocol)."""
    known = {file.path for file in files}
    folders = {
        file.path.rpartition("/")[0] for file in files if file.is_python and file.path.split("/")[0] in {*SOURCES, "tests"}
    }
    parents = {"/".join(folder.split("/")[:depth]) for folder in folders for depth in range(1, folder.count("/") + 2)}
    for folder in sorted(parents):
        if f"{folder}/__init__.py" not in known:
            yield Complaint(folder, "has no __init__.py")


def set_order(files: list[File]) -> Iterator[Complaint]:
    """Nothing in protocol/ depends on the order of a set: string hashes differ from process to process."""
    for file in files:
        if file.path.startswith("protocol/") and file.is_python:
            for node in _loops_over_sets(file.tree):
                yield Complaint(file.path, f"line {node.lineno} iterates over a set; sort it first")


def _loops_over_sets(tree: ast.Module) -> Iterator[ast.expr]:
    harmless = {
        id(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ANY_ORDER and node.args
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.AsyncFor) and _is_set(node.iter):
            yield node.iter
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp) and id(node) not in harmless:
            yield from (generator.iter for generator in node.generators if _is_set(generator.iter))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"list", "tuple", "iter", "next"}:
            yield from (argument for argument in node.args if _is_set(argument))


def _is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in {"set", "frozenset"}
    return isinstance(node, ast.Set | ast.SetComp)


def sleep_in_test(files: list[File]) -> Iterator[Complaint]:
    """Tests wait for conditions (tests/waiting.py), never for a time; yielding once with sleep(0) is no waiting."""
    for file in files:
        if file.is_python and file.path.startswith("tests/") and "/test_" in file.path:
            for node in ast.walk(file.tree):
                if isinstance(node, ast.expr) and _sleeps(node):
                    yield Complaint(file.path, f"line {node.lineno} sleeps; use tests.waiting.wait_until")


def _sleeps(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)):
        return False
    zero = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
    return node.func.attr == "sleep" and node.func.value.id in {"time", "asyncio"} and not zero


def place(files: list[File]) -> Iterator[Complaint]:
    """No path of a particular machine stands in the project."""
    for file in files:
        for word in PLACES:
            if word in file.text:
                yield Complaint(file.path, f"names {word!r}")


def untested_failpoint(files: list[File]) -> Iterator[Complaint]:
    """Every place to die at is died at: a test names it."""
    tests = [file.text for file in files if file.is_python and "/test_" in file.path and file.path.startswith("tests/")]
    for file in files:
        if file.path == "peer/failpoints.py":
            for name in _named(file.tree, "NAMES"):
                if not any(f'"{name}"' in text for text in tests):
                    yield Complaint(file.path, f"no test crashes at {name!r}")


def _named(tree: ast.Module, variable: str) -> list[str]:
    """The texts in a tuple that is assigned at the top of a module."""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == variable and node.value:
            return [part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return []


RULES: Final[dict[str, Rule]] = {
    rule.__name__: rule
    for rule in (
        long_module,
        long_function,
        empty_name,
        environment,
        no_mirror_test,
        no_package_file,
        set_order,
        sleep_in_test,
        place,
        untested_failpoint,
    )
}


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def project_files(top: Path = TOP) -> list[File]:
    """Every text that we write, in order of its path; binary files are left out."""
    paths = [path for path in top.iterdir() if path.is_file() and path.name != ".git"]
    for folder in WRITTEN:
        paths += [path for path in (top / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [File(path.relative_to(top).as_posix(), text) for path in sorted(paths) if (text := _text(path)) is not None]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
