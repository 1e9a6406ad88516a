"""One Blender, by itself, without anything of ours: `alone.py -- SCENE FOLDER LAST` renders frames 1 to LAST as NNNN.png."""

from __future__ import annotations

import sys

import bpy

scene_file, folder, last = sys.argv[sys.argv.index("--") + 1 :]
bpy.ops.wm.open_mainfile(filepath=scene_file, use_scripts=False, load_ui=False)
scene = bpy.context.scene
scene.frame_start, scene.frame_end = 1, int(last)
scene.render.filepath = f"{folder}/####"
bpy.ops.render.render(animation=True)
