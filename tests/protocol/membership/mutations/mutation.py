"""One planted mistake: what it is about, which tests must notice, and the exact replacements that make it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    """`tests` are `module::function` below `tests/protocol`; `edits` are (old, new), each old text exactly once in `file`."""

    behaviour: str
    tests: tuple[str, ...]
    file: str
    edits: tuple[tuple[str, str], ...]


def one(behaviour: str, tests: str, file: str, old: str, new: str, *more: tuple[str, str]) -> Mutation:
    """One mistake; `tests` with spaces between them."""
    return Mutation(behaviour, tuple(tests.split()), file, ((old, new), *more))
