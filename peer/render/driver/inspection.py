"""Looking at an opened scene: what it is, what it lacks, and in which class each finding falls.

By data after loading, since Blender prints nothing for a missing texture. Decides nothing about holding a job.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from peer.render.driver import engines, files, outputs, overrides, physics
from peer.render.driver.blender import VERSION, bpy
from peer.render.driver.opening import Opened
from peer.render.driver.refusal import Refused, choices

WARNINGS_MAX = 200


def broken(refused: Refused) -> dict[str, Any]:
    """The inspection of a scene that does not open or cannot honour the job's settings."""
    return {**engines.identity(), "error": {"kind": refused.kind, "reason": str(refused)[:2000]}}


def inspect(opened: Opened, tree: str) -> dict[str, Any]:
    """The fields of `protocol.jobs.results.Inspection`, as JSON data."""
    scene = opened.scene
    width, height = outputs.frame_size(scene)
    warnings = [
        *files.missing(scene, tree),
        *_refused_drivers(),
        *_refused_scripts(),
        *_no_denoiser(scene, opened.notes),
        *physics.unbaked(scene),
        *_no_layer(scene),
        *_not_comparable(scene),
    ]
    return {
        **engines.identity(),
        "scene": scene.name,
        "camera": _camera(scene),
        "engine": scene.render.engine,
        "frame_start": scene.frame_start,
        "frame_end": scene.frame_end,
        "frame_step": scene.frame_step,
        "fps": scene.render.fps / scene.render.fps_base,
        "width": width,
        "height": height,
        "format": scene.render.image_settings.file_format,
        "warnings": _bounded(warnings),
        "notes": opened.notes,
        "error": _no_camera(scene),
    }


def warning(code: str, kind: str, text: str, remedy: str) -> dict[str, str]:
    """One finding; `kind` is info or picture."""
    return {"code": code, "kind": kind, "text": text, "remedy": remedy}


def _bounded(warnings: list[dict[str, str]]) -> list[dict[str, str]]:
    """At most `WARNINGS_MAX`, those that touch the picture first; the last one says how many more there were."""
    ordered = sorted(warnings, key=lambda entry: entry["kind"] != "picture")
    if len(ordered) <= WARNINGS_MAX:
        return ordered
    more = len(ordered) - WARNINGS_MAX + 1
    said = f"{more} more findings are not listed"
    return [
        *ordered[: WARNINGS_MAX - 1],
        warning("more_warnings", ordered[WARNINGS_MAX - 1]["kind"], said, "mend the others first"),
    ]


def _camera(scene: Any) -> str:
    if scene.camera is not None:
        return str(scene.camera.name)
    return next((str(marker.camera.name) for marker in scene.timeline_markers if marker.camera is not None), "")


def _no_camera(scene: Any) -> dict[str, str] | None:
    if _camera(scene) or _has_strips(scene):
        return None
    cameras = [obj.name for obj in scene.objects if obj.type == "CAMERA"]
    there = f"name one of its cameras with camera=: {choices(cameras)}" if cameras else "add a camera to it, and make it active"
    return {"kind": "scene", "reason": f"the scene {scene.name!r} has no camera to render with; {there}"}


def _has_strips(scene: Any) -> bool:
    """A video edit is rendered without a camera."""
    editor = scene.sequence_editor
    if editor is None or not scene.render.use_sequencer:
        return False
    return len(editor.strips if hasattr(editor, "strips") else editor.sequences) > 0


def _refused_drivers() -> Iterator[dict[str, str]]:
    for owner, curve in _invalid_drivers():
        text = f"the driver of {curve.data_path} of {owner.name!r} is not evaluated: {curve.driver.expression[:120]!r}"
        yield warning("refused_driver", "picture", text, "scripts of a scene do not run here; bake the driver into keyframes")


def _invalid_drivers() -> Iterator[tuple[Any, Any]]:
    """Drivers that Blender refused or could not compute: known only after one evaluation, and on some versions on the copy."""
    graph = bpy.context.evaluated_depsgraph_get()
    graph.update()
    for owner, data in _animated():
        evaluated = owner.evaluated_get(graph) if hasattr(owner, "evaluated_get") else owner
        copies = getattr(evaluated if data is owner else getattr(evaluated, "node_tree", None), "animation_data", None)
        copied = list(copies.drivers) if copies is not None else []
        for index, curve in enumerate(data.animation_data.drivers):
            twin = copied[index] if index < len(copied) else curve
            if curve.driver.type == "SCRIPTED" and not (curve.driver.is_valid and twin.driver.is_valid):
                yield owner, curve


def _animated() -> Iterator[tuple[Any, Any]]:
    """Every data-block with drivers, and the node tree inside it that has some: (data-block, holder of the drivers)."""
    for collection in _collections():
        for block in collection:
            for holder in (block, getattr(block, "node_tree", None)):
                animation = getattr(holder, "animation_data", None)
                if animation is not None and len(animation.drivers) > 0:
                    yield block, holder


def _collections() -> Iterator[Any]:
    for prop in bpy.data.bl_rna.properties:
        if prop.type == "COLLECTION" and prop.identifier not in ("screens", "window_managers", "workspaces"):
            yield getattr(bpy.data, prop.identifier)


def _refused_scripts() -> Iterator[dict[str, str]]:
    for text in bpy.data.texts:
        if text.use_module:
            said = f"the script {text.name!r} is registered to run when the file opens; it did not run"
            yield warning("refused_script", "info", said, "nothing to do when it only draws a user interface, as a rig's does")


def _no_denoiser(scene: Any, notes: list[str]) -> Iterator[dict[str, str]]:
    if engines.has_denoiser():
        return
    asked = any("OpenImageDenoise" in note for note in notes)
    if asked or any(node.type == "DENOISE" for node in _compositor_nodes(scene)):
        said = f"the scene asks for denoising, and this Blender {VERSION[0]}.{VERSION[1]} was built without OpenImageDenoise"
        remedy = "render on peers whose Blender has it, or switch denoising off in the scene"
        yield warning("no_denoiser", "picture", said, remedy)


def _no_layer(scene: Any) -> Iterator[dict[str, str]]:
    """Blender renders such a scene without a word: empty pictures."""
    if not any(layer.use for layer in scene.view_layers) and not _has_strips(scene):
        said = f"no view layer of the scene {scene.name!r} is used for rendering: its pictures stay empty"
        yield warning("no_view_layer", "picture", said, "enable one, or name one with view_layer=")


def _not_comparable(scene: Any) -> Iterator[dict[str, str]]:
    """What makes two renders of one frame differ, with nothing wrong in either."""
    if scene.render.engine == "CYCLES" and scene.cycles.time_limit > 0:
        said = f"each frame stops after {scene.cycles.time_limit:g} s: how many samples that is depends on the peer and its load"
        yield warning("not_comparable", "info", said, "set samples and a noise threshold instead of a time limit")
    shown = [name for name in overrides.VARIABLE_STAMPS if getattr(scene.render, name, False)]
    if scene.render.use_stamp and shown:
        fields = ", ".join(name.removeprefix("use_stamp_").replace("_", " ") for name in shown)
        said = f"burnt into each picture is what differs from render to render: {fields}"
        yield warning("not_comparable", "info", said, "burn in the frame and the camera alone, if frames are to be verified")


def _compositor_nodes(scene: Any) -> list[Any]:
    tree = outputs.compositor_tree(scene)
    return list(tree.nodes) if tree is not None else []
