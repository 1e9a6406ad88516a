"""Inside Blender: `film.py -- SCENE SAVED FOLDER WIDTH HEIGHT SAMPLES` makes SCENE small, saves it, and renders every frame.

The frames in FOLDER are what the mesh's are compared with. Nothing here knows the product.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpy


def main(source, saved, folder, width, height, samples):
    bpy.ops.wm.open_mainfile(filepath=source, use_scripts=False)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = int(width), int(height)
    scene.cycles.samples = int(samples)
    bpy.ops.wm.save_as_mainfile(filepath=saved, compress=False)
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        scene.render.filepath = str(Path(folder) / f"{frame:04d}.png")
        bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    main(*sys.argv[sys.argv.index("--") + 1 :])
