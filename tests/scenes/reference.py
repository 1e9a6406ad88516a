"""One Blender, by itself, without anything of ours: `reference.py -- SCENE FOLDER FIRST LAST SETTINGS` renders frames.

Every output goes below FOLDER and has its frame's number in its name. SETTINGS is JSON: scene, format, engine, view_layer.
"""

from __future__ import annotations

import json
import sys

import bpy


def main(scene_file, folder, first, last, settings):
    wanted = json.loads(settings)
    bpy.ops.wm.open_mainfile(filepath=scene_file, use_scripts=False, load_ui=False)
    scene = bpy.data.scenes[wanted["scene"]] if "scene" in wanted else bpy.context.window.scene
    bpy.context.window.scene = scene
    scene.frame_start, scene.frame_end, scene.frame_step = int(first), int(last), 1
    if "format" in wanted:
        if hasattr(scene.render.image_settings, "media_type"):
            scene.render.image_settings.media_type = "IMAGE"
        scene.render.image_settings.file_format = wanted["format"]
    if "view_layer" in wanted:
        for layer in scene.view_layers:
            layer.use = layer.name == wanted["view_layer"]
    scene.render.filepath = f"{folder}/main_####"
    group = scene.compositing_node_group if hasattr(scene, "compositing_node_group") else scene.node_tree
    for number, node in enumerate(group.nodes if group else ()):
        if node.type == "OUTPUT_FILE":
            move(node, f"{folder}/node{number}/")
    if "engine" in wanted:
        scene.render.engine = wanted["engine"]
    if int(first) >= 0:
        bpy.ops.render.render(animation=True)
    elif bpy.app.version >= (5, 0, 0):
        bpy.ops.render.render(animation=True, frame_start=int(first), frame_end=int(last))
    else:
        below_zero(scene, folder, range(int(first), int(last) + 1))


def below_zero(scene, folder, frames):
    """3.4 keeps the range of an animation at 0 and above; single frames have no such limit."""
    for frame in frames:
        scene.frame_set(frame)
        scene.render.filepath = f"{folder}/main_{'-' if frame < 0 else ''}{abs(frame):04}"
        bpy.ops.render.render(write_still=True)


def move(node, folder):
    """The artist's names, below another folder."""
    if hasattr(node, "directory"):
        node.directory = folder
    elif node.format.file_format == "OPEN_EXR_MULTILAYER":
        node.base_path = folder + "layers_"
    else:
        node.base_path = folder


if __name__ == "__main__":
    main(*sys.argv[sys.argv.index("--") + 1 :])
