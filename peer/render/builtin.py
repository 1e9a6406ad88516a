"""The plug-ins of Blender and of the null renderer: where each is looked for, and what a scene of it looks like."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from peer.ports import Renderer
from peer.render.blender import BlenderRenderer
from peer.render.blendfile import check_version, known_versions, read_header
from peer.render.null import NullRenderer
from peer.render.options import RendererOptions
from peer.render.plugins import PORT, Plugin, Surroundings

PROGRAM_NAMES: Final = ("blender", "blender.exe", "Contents/MacOS/Blender")
GET_BPY: Final = "pip install 'rendermesh[blender]' into this Python (bpy is built for one Python minor only; 5.0 is for 3.11)"
GET_PROGRAM: Final = "install Blender and put it on PATH or name it in the settings; as root: apt-get install -y blender"


def blenders(options: RendererOptions, around: Surroundings, named: bool) -> list[list[Renderer | str]]:
    """Programs alone when named; else the module first, and the program of PATH where the settings name no others."""
    programs = [[_program(options, around, name)] for name in named_programs(around.programs)]
    if named:
        return programs or [[_program(options, around, None)]]
    module = _module(options, around)
    if programs:
        return programs if isinstance(module, str) else [[module], *programs]
    return [[module, _program(options, around, None)]]


def modules(options: RendererOptions, around: Surroundings, named: bool) -> list[list[Renderer | str]]:
    """The module `bpy`."""
    return [[_module(options, around)]]


def nulls(options: RendererOptions, around: Surroundings, named: bool) -> list[list[Renderer | str]]:
    """The null renderer, which is always there."""
    return [[NullRenderer()]]


def named_programs(places: Sequence[Path]) -> list[Path]:
    """The programs that the settings name: each place itself, or those in a folder and in the folders in it."""
    found: list[Path] = []
    for place in places:
        inside = [path for name in PROGRAM_NAMES for path in (place / name, *sorted(place.glob(f"*/{name}")))]
        programs = [path for path in inside if path.is_file()] if place.is_dir() else [place]
        found += programs or [place]
    return list(dict.fromkeys(found))


def check_blend(path: Path, versions: Sequence[str]) -> tuple[int, int]:
    """The version of Blender that saved the file. Raises `Invalid`: no .blend, or newer than `versions`."""
    header = read_header(path)
    check_version(header, known_versions(versions))
    return header.version


def _module(options: RendererOptions, around: Surroundings) -> Renderer | str:
    if not around.has_bpy():
        return f"the module bpy is not installed; {GET_BPY}"
    return BlenderRenderer((sys.executable,), "bpy", options)


def _program(options: RendererOptions, around: Surroundings, named: Path | None) -> Renderer | str:
    path = options.environ.get("PATH")
    name = "blender" if named is None else str(named)
    program = around.which(name, path)
    if program is None:
        where = "on PATH" if named is None else f"at {name}"
        return f"there is no program {Path(name).name!r} {where}; {GET_PROGRAM}"
    return BlenderRenderer((program,), "program", options)


BLENDER: Final = Plugin(PORT, "blender", blenders, check_blend, (".blend",), "always")
BPY: Final = Plugin(PORT, "blender", modules, check_blend, (), "named")
NULL: Final = Plugin(PORT, "null", nulls, sought="named")
