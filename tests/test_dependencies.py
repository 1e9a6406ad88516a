"""What is installed with the package is what it imports: nothing comes along by chance with an extra or with a tool of ours."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).parents[1]
OURS: Final = ("peer", "protocol")
OPTIONAL: Final = {"bpy": "blender", "obstore": "obstore"}
# Blender brings these itself, in its own Python
BLENDERS: Final = {"bpy", "mathutils", "_cycles", "gpu", "addon_utils", "idprop"}


def distribution(requirement: str) -> str:
    """The normalized name in a requirement (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[ ;<>=!~\[]", requirement, maxsplit=1)[0]).lower()


def imported() -> dict[str, set[str]]:
    """Top-level names of foreign modules, with the files that import them."""
    found: dict[str, set[str]] = {}
    for path in (path for part in OURS for path in (TOP / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names} - {*sys.stdlib_module_names, *OURS}:
                found.setdefault(name, set()).add(str(path.relative_to(TOP)))
    return found


def test_whatever_is_imported_is_declared() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    always = {distribution(one) for one in project["dependencies"]}
    extras = {name: {distribution(one) for one in many} for name, many in project["optional-dependencies"].items()}
    providers = packages_distributions()
    undeclared = {}
    for name, files in imported().items():
        if name in BLENDERS and name not in providers:
            continue
        declared = always | extras.get(OPTIONAL.get(name, ""), set())
        names = {re.sub(r"[-_.]+", "-", one).lower() for one in providers.get(name, [name])}
        if not names & declared:
            undeclared[name] = sorted(files)
    assert undeclared == {}


def test_whatever_is_declared_is_imported() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    providers = packages_distributions()
    used = {re.sub(r"[-_.]+", "-", one).lower() for name in imported() for one in providers.get(name, [])}
    assert {distribution(one) for one in project["dependencies"]} - used == set()
