"""Makes scenes of the table, inside Blender: `make_cases.py -- FOLDER NAME...` saves each as FOLDER/NAME/scene.blend."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # Blender knows nothing of the project

import bpy

from tests.scenes import assets, bad, shapes

MAKERS = {maker.__name__: maker for maker in (*bad.MAKERS, *assets.MAKERS, *shapes.MAKERS)}


def make(folder, name):
    """One scene; saved where its maker may have put files beside it."""
    home = Path(folder, name)
    home.mkdir(parents=True)
    path = str(home / "scene.blend")
    MAKERS[name](home)
    bpy.ops.wm.save_as_mainfile(filepath=path, compress=False, relative_remap=False)
    bad.after_saving(name, Path(path))


def main(folder, *names):
    """All of them; one that fails does not keep the others from being made."""
    failed = []
    for name in names or MAKERS:
        try:
            make(folder, name)
        except Exception:
            failed.append(name)
            traceback.print_exc()
    bpy.ops.wm.read_homefile(use_factory_startup=True)  # a fluid that is still open at the end ends Blender 5.0 with an abort
    if failed:
        raise SystemExit(f"not made: {', '.join(failed)}")


if __name__ == "__main__":
    main(*sys.argv[sys.argv.index("--") + 1 :])
