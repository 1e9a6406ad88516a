"""One Blender by itself, as an artist would run it: the scene stays open, each line on stdin renders the whole range once.

`one_blender.py SCENE FOLDER` (in a Python that has bpy). Answers each line with the seconds that the pass took.
"""

from __future__ import annotations

import os
import sys
import time

import bpy


def main(scene_path: str, folder: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)  # Blender prints on stdout
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    bpy.ops.wm.open_mainfile(filepath=scene_path, use_scripts=False)
    scene = bpy.context.scene
    scene.render.use_persistent_data = True
    scene.render.filepath = f"{folder}/frame_####"
    answers.write("open\n")
    for _ in sys.stdin:
        began = time.perf_counter()
        bpy.ops.render.render(animation=True)
        answers.write(f"{time.perf_counter() - began:.6f}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
