"""Inside Blender: `look.py -- SCENE ANSWER.json [FRAME ...]` writes what is in the scene and renders frames beside it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy


def look(scene):
    tree = scene.compositing_node_group if bpy.app.version >= (5, 0, 0) else scene.node_tree
    images = [image for image in bpy.data.images if image.source == "FILE" and not image.packed_file]
    return {
        "frames": [scene.frame_start, scene.frame_end],
        "camera": scene.camera.name if scene.camera else "",
        "video": scene.render.is_movie_format,
        "views": [view.name for view in scene.render.views] if scene.render.use_multiview else [],
        "missing": [image.filepath for image in images if not Path(bpy.path.abspath(image.filepath)).is_file()],
        "output_nodes": sum(node.type == "OUTPUT_FILE" for node in tree.nodes) if tree else 0,
        "samples": scene.cycles.samples,
    }


def main(path, answer, *frames):
    bpy.ops.wm.open_mainfile(filepath=path, use_scripts=False)
    scene = bpy.context.scene
    Path(answer).write_text(json.dumps(look(scene)))
    for index, frame in enumerate(map(int, frames)):
        scene.render.filepath = str(Path(path).with_name(f"look{index}_####"))
        scene.frame_start = scene.frame_end = frame
        bpy.ops.render.render(animation=True)


if __name__ == "__main__":
    main(*sys.argv[sys.argv.index("--") + 1 :])
