"""A program for Blender or a Python with bpy: which files does a scene use? `listing.py -- SCENE ANSWER.json`

`peerctl` runs it on the artist's machine, before a scene is sent. It opens the scene without its scripts and writes

    {"references": [{"kind", "label", "raw", "folder", "pick", "names", "needed"}, ...], "paths": [...], "own": [...]}

`folder` is that of the .blend which holds the path `raw`, `paths` is Blender's own list, `own` are Blender's own folders.
"""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path
from typing import Any


def lend_names(folder: Path) -> None:
    """Make `peer.render.driver.*` importable from `folder` alone."""
    for name, paths in (("peer", []), ("peer.render", []), ("peer.render.driver", [str(folder)])):
        module = types.ModuleType(name)
        module.__path__ = paths
        sys.modules[name] = module


def listing(scene: str) -> dict[str, Any]:
    """Open `scene` and list. Raises `RuntimeError` when Blender cannot open it."""
    from peer.render.driver import references
    from peer.render.driver.blender import bpy

    bpy.ops.wm.open_mainfile(filepath=scene, load_ui=False, use_scripts=False)
    found = [*references.libraries(), *references.assets()]
    own = {bpy.utils.resource_path(kind) for kind in ("LOCAL", "SYSTEM")}
    return {
        "references": [
            {
                "kind": one.kind, "label": one.label, "raw": one.raw, "folder": _folder(bpy, one.library),
                "pick": one.pick, "names": list(one.names), "needed": one.needed,
            }
            for one in found
        ],
        "paths": bpy.utils.blend_paths(absolute=True, packed=True),
        "own": sorted(folder for folder in own if folder),
    }  # fmt: skip


def _folder(bpy: Any, library: Any) -> str:
    blend = bpy.data.filepath if library is None else os.path.normpath(bpy.path.abspath(library.filepath))
    return str(Path(blend).parent)


def main(scene: str, answer: str) -> None:
    """Write the answer; a scene that does not open ends with another code than 0."""
    lend_names(Path(__file__).resolve().parent)
    Path(answer).write_text(json.dumps(listing(scene)))


if __name__ == "__main__":
    main(*sys.argv[sys.argv.index("--") + 1 :])
