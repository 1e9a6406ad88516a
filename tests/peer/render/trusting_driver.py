"""The driver of a renderer, but for this: scenes run their scripts. The product has no such thing; hostile scenes need one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

MAIN = Path(__file__).resolve().parents[3] / "peer" / "render" / "driver" / "main.py"


def main() -> None:
    """As the driver's own `main`, with a second look at every scene that it opens."""
    spec = importlib.util.spec_from_file_location("driver_main", MAIN)
    assert spec is not None
    assert spec.loader is not None
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    driver.lend_names(MAIN.parent)
    from peer.render.driver import opening
    from peer.render.driver.blender import bpy

    load = opening._load

    def trusting(path: Path) -> None:
        load(path)
        bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=True)

    opening._load = trusting
    driver.main(sys.argv[sys.argv.index("--") + 1 :])


main()
