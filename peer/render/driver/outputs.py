"""Which files a frame must leave behind: the main one or one per view, and those of File Output nodes.

Redirects every one of them into the attempt's folder, whatever path the artist wrote, and reports what really lies there.
A missing or an empty file is a failure: Blender says FINISHED also when it wrote nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peer.render.driver import headers, naming
from peer.render.driver.blender import bpy
from peer.render.driver.overrides import check_format
from peer.render.driver.refusal import Refused

_MAIN = "main_####"
_ROLES = {"left": "left", "right": "right"}


@dataclass
class NodeOutputs:
    """One File Output node: `folder` is its own below the attempt's; `prefixes` of the files it must write, with formats."""

    node: Any
    folder: str
    prefixes: list[tuple[str, str]]


def file_output_nodes(scene: Any) -> list[NodeOutputs]:
    """Every File Output node that will run, with its slots renamed to harmless unique names. Raises `Refused`."""
    found: list[NodeOutputs] = []
    taken: set[str] = set()
    for node in _walk(compositor_tree(scene), set()):
        folder = naming.unique(node.label or node.name, taken)
        prefixes = _slots_5(node) if hasattr(node, "file_output_items") else _slots_3(node)
        for _, file_format in prefixes:
            check_format(file_format, f"the File Output node {node.name!r}")
        if prefixes:
            found.append(NodeOutputs(node, folder, prefixes))
    return found


def compositor_tree(scene: Any) -> Any:
    """The node tree that the compositor runs, or None: 5.0 keeps it as a group, before it was the scene's own."""
    if not scene.render.use_compositing:
        return None
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def _walk(tree: Any, seen: set[str]) -> list[Any]:
    """File Output nodes of a node tree and of the groups in it, each group once."""
    if tree is None or tree.name_full in seen:
        return []
    seen.add(tree.name_full)
    found = []
    for node in tree.nodes:
        if node.mute:
            continue
        if node.type == "OUTPUT_FILE":
            found.append(node)
        elif node.type == "GROUP":
            found += _walk(node.node_tree, seen)
    return found


def _slots_3(node: Any) -> list[tuple[str, str]]:
    """Before 5.0: one path per slot, or one file for all layers, named by the end of the base path."""
    linked = [socket.is_linked for socket in node.inputs]
    if node.format.file_format == "OPEN_EXR_MULTILAYER":
        return [("layers", "OPEN_EXR_MULTILAYER")] if any(linked) else []
    taken: set[str] = set()
    found = []
    for slot, is_linked in zip(node.file_slots, linked, strict=False):
        slot.path = naming.unique(slot.path, taken)
        if is_linked:
            found.append((slot.path, node.format.file_format if slot.use_node_format else slot.format.file_format))
    return found


def _slots_5(node: Any) -> list[tuple[str, str]]:
    """5.0 and later: a folder, a file name and named items."""
    linked = [socket.is_linked for socket in node.inputs]
    if node.format.file_format == "OPEN_EXR_MULTILAYER":
        node.file_name = "layers"
        return [("layers", "OPEN_EXR_MULTILAYER")] if any(linked) else []
    node.file_name = ""
    taken: set[str] = set()
    found = []
    for item, is_linked in zip(node.file_output_items, linked, strict=False):
        item.name = naming.unique(item.name, taken)
        if is_linked:
            found.append((item.name, item.format.file_format if item.override_node_format else node.format.file_format))
    return found


def redirect(scene: Any, nodes: list[NodeOutputs], folder: Path) -> None:
    """Point every output of the next frame into `folder`."""
    if "{" in str(folder) or "}" in str(folder) or "#" in str(folder):
        raise Refused("infrastructure", f"Blender cannot write into a folder with braces or # in its name: {folder}")
    scene.render.filepath = str(folder / _MAIN)
    for entry in nodes:
        target = folder / entry.folder
        if hasattr(entry.node, "directory"):
            entry.node.directory = str(target)
        elif entry.prefixes[0][1] == "OPEN_EXR_MULTILAYER" and entry.node.format.file_format == "OPEN_EXR_MULTILAYER":
            entry.node.base_path = str(target / "layers")
        else:
            entry.node.base_path = str(target)


def collect(scene: Any, nodes: list[NodeOutputs], frame: int, folder: Path) -> list[dict[str, Any]]:
    """Every expected file as a report. Raises `Refused` (`scene`) naming those that are missing or empty."""
    files, missing = _main_files(scene, frame, folder)
    for entry in nodes:
        for prefix, file_format in entry.prefixes:
            written = _written(folder / entry.folder, prefix)
            files += [_report("node", path, folder, file_format, (0, 0)) for path in written]
            if not written:
                missing.append(f"{entry.folder}/{prefix} (File Output node {entry.node.name!r})")
    if missing:
        raise Refused("scene", f"Blender said that the frame is finished, but it wrote no {', '.join(missing)}")
    return files


def _main_files(scene: Any, frame: int, folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    image = scene.render.image_settings
    size = frame_size(scene) if not _is_one_stereo_picture(scene) else (0, 0)
    files: list[dict[str, Any]] = []
    missing: list[str] = []
    for role, path in _main_paths(scene, frame):
        if path.is_file() and path.stat().st_size > 0:
            files.append(_report(role, path, folder, image.file_format, size))
        else:
            missing.append(path.name)
    return files, missing


def _main_paths(scene: Any, frame: int) -> list[tuple[str, Path]]:
    render = scene.render
    if not render.use_multiview or render.image_settings.views_format != "INDIVIDUAL":
        return [("main", Path(render.frame_path(frame=frame)))]
    views = [view for view in render.views if view.use]
    if render.views_format == "STEREO_3D":
        views = [view for view in views if view.name in _ROLES]
    return [(_ROLES.get(view.name, "layer"), Path(render.frame_path(frame=frame, view=view.name))) for view in views]


def _is_one_stereo_picture(scene: Any) -> bool:
    return bool(scene.render.use_multiview) and scene.render.image_settings.views_format == "STEREO_3D"


def frame_size(scene: Any) -> tuple[int, int]:
    """Width and height of the main output in pixels, as Blender computes them: percentage and cropping truncate."""
    render = scene.render
    width = render.resolution_x * render.resolution_percentage // 100
    height = render.resolution_y * render.resolution_percentage // 100
    if render.use_border and render.use_crop_to_border:
        width = naming.pixels(render.border_max_x, width) - naming.pixels(render.border_min_x, width)
        height = naming.pixels(render.border_max_y, height) - naming.pixels(render.border_min_y, height)
    return width, height


def _written(folder: Path, prefix: str) -> list[Path]:
    """Files of one slot: its name, the frame, for stereo a view's suffix."""
    if not folder.is_dir():
        return []
    name = re.compile(re.escape(prefix) + r"-?\d{4,}(_[^/.]*)?\.\w+\Z")
    return sorted(path for path in folder.iterdir() if name.match(path.name) and path.stat().st_size > 0)


def _report(role: str, path: Path, folder: Path, file_format: str, size: tuple[int, int]) -> dict[str, Any]:
    width, height, channels = headers.measure(path) or _measured_by_blender(path)
    width, height = size if size != (0, 0) else (width, height)
    name = path.relative_to(folder).as_posix()
    return {"role": role, "name": name, "width": width, "height": height, "channels": channels, "format": file_format}


def _measured_by_blender(path: Path) -> tuple[int, int, int]:
    """For formats whose headers we do not read; 0 channels are not compared."""
    image = bpy.data.images.load(str(path))
    try:
        return int(image.size[0]), int(image.size[1]), 0
    finally:
        bpy.data.images.remove(image)
