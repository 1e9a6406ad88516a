"""Blender's own modules and version, loaded once. Importing this is importing Blender."""

from __future__ import annotations

import importlib
from typing import Any

bpy: Any = importlib.import_module("bpy")
"""The module `bpy`; untyped, since every Blender has another one."""

VERSION: tuple[int, int, int] = tuple(bpy.app.version)
"""(major, minor, patch)."""
