"""Opening a scene: without its scripts, checked afterwards, with the job's settings laid over it.

Never trusts FINISHED: a failed open leaves the previous scene loaded, so the path that Blender says it holds must match.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peer.render.driver import outputs, overrides, remap
from peer.render.driver.blender import VERSION, bpy
from peer.render.driver.refusal import Refused


@dataclass
class Opened:
    """A scene ready to render. `device` is what renders it; `notes` say what was changed for the job's sake."""

    scene: Any
    path: Path
    nodes: list[outputs.NodeOutputs]
    device: str
    notes: list[str]


def open_scene(tree: str, main: str, settings: dict[str, Any]) -> Opened:
    """Open `main` below `tree` and apply `settings` (the fields of RenderSettings). Raises `Refused` (`scene`)."""
    path = Path(tree) / main
    _load(path)
    remap.apply(tree)
    scene = overrides.choose_scene(settings["scene_name"])
    bpy.context.window.scene = scene
    applied = overrides.apply(scene, settings)
    return Opened(scene, path, outputs.file_output_nodes(scene), applied.device, applied.notes)


def _load(path: Path) -> None:
    if not path.is_file():
        raise Refused("infrastructure", f"the scene {path.name!r} is not in its folder")
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=False)
    except RuntimeError as error:
        raise Refused("scene", f"Blender {_version()} cannot open {path.name!r}: {_plain(error, path)}") from None
    held = bpy.data.filepath
    if not held or Path(held).resolve() != path.resolve() or Path(held).name != path.name:
        raise Refused("scene", f"Blender {_version()} did not open {path.name!r}")


def _plain(error: RuntimeError, path: Path) -> str:
    """Blender's own words, without the folder that they were said about."""
    text = " ".join(str(error).replace(str(path), path.name).split())
    return text.removeprefix("Error: ")


def _version() -> str:
    return ".".join(map(str, VERSION))
