"""Which renderers this peer has: the choice of the settings against what is installed, each started once to see.

Looks for `bpy` without importing it. Refuses to read the environment: PATH comes in with the options.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, assert_never, get_args

from peer.ports import Renderer, RendererMissing, RenderFailed
from peer.render.blender import BlenderOptions, BlenderRenderer
from peer.render.null import NullRenderer
from peer.render.shelf import Shelf, version_of
from protocol.errors import Invalid
from protocol.jobs.results import Capabilities

Choice = Literal["auto", "blender", "bpy", "null"]
Started = tuple[Renderer, Capabilities]

CHOICES: Final[tuple[Choice, ...]] = get_args(Choice)
PROGRAM_NAMES: Final = ("blender", "blender.exe", "Contents/MacOS/Blender")
GET_BPY: Final = "pip install 'rendermesh[blender]' into this Python (bpy is built for one Python minor only; 5.0 is for 3.11)"
GET_PROGRAM: Final = "install Blender and put it on PATH or name it in the settings; as root: apt-get install -y blender"


@dataclass(frozen=True, slots=True)
class Found:
    """`renderers` that started, with what they can do, best first, one per name; `missing` says why the others did not."""

    renderers: tuple[tuple[Renderer, tuple[Capabilities, ...]], ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is installed: `programs` are Blenders named in the settings, or folders of some; the other two know the rest."""

    programs: tuple[Path, ...] = ()
    which: Callable[[str, str | None], str | None] = lambda name, path: shutil.which(name, path=path)
    has_bpy: Callable[[], bool] = field(default=lambda: importlib.util.find_spec("bpy") is not None)


def check_choices(texts: Sequence[str]) -> list[Choice]:
    """The settings' words as choices; none at all means auto. Raises `Invalid` (`unknown_renderer`)."""
    checked: list[Choice] = []
    for text in texts or ("auto",):
        match = next((choice for choice in CHOICES if choice == text), None)
        if match is None:
            raise Invalid("unknown_renderer", f"renderer: {text[:40]!r} is unknown; choose one of {', '.join(CHOICES)}")
        if match not in checked:
            checked.append(match)
    return checked


async def find_renderers(texts: Sequence[str], options: BlenderOptions, around: Surroundings = Surroundings()) -> Found:
    """Start every chosen renderer once; of several candidates for one the first that starts. Never raises for a missing one.

    A peer with `missing` and no `renderers` joins all the same: it stores and serves, and says so. Raises `Invalid`.
    """
    started: list[Started] = []
    missing: list[str] = []
    try:
        for choice in check_choices(texts):
            for alternatives in await asyncio.to_thread(candidates, choice, options, around):
                one, reasons = await _first(alternatives)
                if one is None:
                    missing.append(f"{choice}: {'; '.join(reasons)}")
                else:
                    renderer, able = one
                    started.append((renderer, replace(able, sandbox=options.sandbox.level)))
        return Found(await _shelved(started), tuple(missing))
    except BaseException:
        for renderer, _ in started:
            await renderer.close()
        raise


def candidates(choice: Choice, options: BlenderOptions, around: Surroundings) -> list[list[Renderer | str]]:
    """What to look for under one choice; of each the alternatives in order: renderers not yet started, and texts for those
    that are not even installed. Reads folders."""
    programs = [[_program(options, around, name)] for name in named_programs(around.programs)]
    module = _module(options, around)
    match choice:
        case "auto" if programs:
            return programs if isinstance(module, str) else [[module], *programs]
        case "auto":
            return [[module, _program(options, around, None)]]
        case "bpy":
            return [[module]]
        case "blender":
            return programs or [[_program(options, around, None)]]
        case "null":
            return [[NullRenderer()]]
        case _:
            assert_never(choice)


def named_programs(places: Sequence[Path]) -> list[Path]:
    """The programs that the settings name: each place itself, or those in a folder and in the folders in it."""
    found: list[Path] = []
    for place in places:
        inside = [path for name in PROGRAM_NAMES for path in (place / name, *sorted(place.glob(f"*/{name}")))]
        programs = [path for path in inside if path.is_file()] if place.is_dir() else [place]
        found += programs or [place]
    return list(dict.fromkeys(found))


async def _shelved(started: Sequence[Started]) -> tuple[tuple[Renderer, tuple[Capabilities, ...]], ...]:
    """One renderer per name; several versions of one stand on a shelf. A second one of the same version is closed again."""
    by_name: dict[str, dict[object, Started]] = {}
    for renderer, able in started:
        versions = by_name.setdefault(renderer.name, {})
        if version_of(able) in versions:
            await renderer.close()
        else:
            versions[version_of(able)] = (renderer, able)
    return tuple(_one(list(versions.values())) for versions in by_name.values())


def _one(versions: Sequence[Started]) -> tuple[Renderer, tuple[Capabilities, ...]]:
    renderer = versions[0][0] if len(versions) == 1 else Shelf(versions)
    return renderer, tuple(able for _, able in versions)


def _module(options: BlenderOptions, around: Surroundings) -> Renderer | str:
    if not around.has_bpy():
        return f"the module bpy is not installed; {GET_BPY}"
    return BlenderRenderer((sys.executable,), "bpy", options)


def _program(options: BlenderOptions, around: Surroundings, named: Path | None) -> Renderer | str:
    path = options.environ.get("PATH")
    name = "blender" if named is None else str(named)
    program = around.which(name, path)
    if program is None:
        where = "on PATH" if named is None else f"at {name}"
        return f"there is no program {Path(name).name!r} {where}; {GET_PROGRAM}"
    return BlenderRenderer((program,), "program", options)


async def _first(options: Sequence[Renderer | str]) -> tuple[Started | None, list[str]]:
    reasons = []
    for option in options:
        if isinstance(option, str):
            reasons.append(option)
            continue
        try:
            return (option, await option.probe()), []
        except (RendererMissing, RenderFailed, OSError) as error:  # also one that dies of the first question, or has no room
            reasons.append(str(error))
            await option.close()
        except BaseException:
            await option.close()
            raise
    return None, reasons
