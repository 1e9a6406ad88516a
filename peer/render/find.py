"""Which renderers this peer has: the choice of the settings against what is installed, each started once to see.

Looks for `bpy` without importing it. Refuses to read the environment: PATH comes in with the options.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, assert_never, get_args

from peer.ports import Renderer, RendererMissing, RenderFailed
from peer.render.blender import BlenderOptions, BlenderRenderer
from peer.render.null import NullRenderer
from protocol.errors import Invalid
from protocol.jobs.results import Capabilities

Choice = Literal["auto", "blender", "bpy", "null"]

CHOICES: Final[tuple[Choice, ...]] = get_args(Choice)
GET_BPY: Final = "pip install 'rendermesh[blender]' into this Python (bpy is built for one Python minor only; 5.0 is for 3.11)"
GET_PROGRAM: Final = "install Blender and put it on PATH or name it in the settings; as root: apt-get install -y blender"


@dataclass(frozen=True, slots=True)
class Found:
    """`renderers` that started, with what they can do, best first; `missing` says why the others did not, for people."""

    renderers: tuple[tuple[Renderer, Capabilities], ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is installed: `program` is a Blender named in the settings; the other two are asked for the rest."""

    program: Path | None = None
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
    """Start every chosen renderer once; of auto's candidates the first that starts. Never raises for a missing one.

    A peer with `missing` and no `renderers` joins all the same: it stores and serves, and says so. Raises `Invalid`.
    """
    found: list[tuple[Renderer, Capabilities]] = []
    missing: list[str] = []
    for choice in check_choices(texts):
        started, reasons = await _first(candidates(choice, options, around))
        if started is None:
            missing.append(f"{choice}: {'; '.join(reasons)}")
        else:
            found.append(started)
    return Found(tuple(found), tuple(missing))


def candidates(choice: Choice, options: BlenderOptions, around: Surroundings) -> list[Renderer | str]:
    """What to try for one choice, in order: renderers not yet started, and texts for those that are not even installed."""
    match choice:
        case "auto":
            return [_module(options, around), _program(options, around)]
        case "bpy":
            return [_module(options, around)]
        case "blender":
            return [_program(options, around)]
        case "null":
            return [NullRenderer()]
        case _:
            assert_never(choice)


def _module(options: BlenderOptions, around: Surroundings) -> Renderer | str:
    if not around.has_bpy():
        return f"the module bpy is not installed; {GET_BPY}"
    return BlenderRenderer((sys.executable,), "bpy", options)


def _program(options: BlenderOptions, around: Surroundings) -> Renderer | str:
    path = options.environ.get("PATH")
    name = "blender" if around.program is None else str(around.program)
    program = around.which(name, path)
    if program is None:
        where = "on PATH" if around.program is None else f"at {name}"
        return f"there is no program {Path(name).name!r} {where}; {GET_PROGRAM}"
    return BlenderRenderer((program,), "program", options)


async def _first(options: Sequence[Renderer | str]) -> tuple[tuple[Renderer, Capabilities] | None, list[str]]:
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
