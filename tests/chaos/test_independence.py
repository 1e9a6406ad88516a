"""The campaign judges the product from outside: nothing in it but its tests is made of the product's code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

MODULES = sorted(path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_"))


def imported(path: Path) -> set[str]:
    """The top of every module that is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_nothing_of_the_product_is_imported(path: Path):
    assert imported(path) & {"peer", "protocol"} == set()
