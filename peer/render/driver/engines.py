"""Which Blender this is and what it can render with, found by trying and never by its version number."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from peer.render.driver.blender import VERSION, bpy
from peer.render.driver.refusal import Refused

EEVEE_NAMES = ("BLENDER_EEVEE", "BLENDER_EEVEE_NEXT")
"""One engine, two names: 4.2 to 4.5 call it NEXT, every other version does not."""

_GPU_TYPES = ("OPTIX", "CUDA", "HIP", "METAL", "ONEAPI")


def identity() -> dict[str, str]:
    """Version (major.minor.patch) and build hash."""
    return {"version": ".".join(map(str, VERSION)), "build": bpy.app.build_hash.decode("ascii", "replace")}


def hello() -> dict[str, Any]:
    """What can be said without rendering: engines that can be chosen, devices, whether OpenImageDenoise is in it."""
    engines = [name for name in ("CYCLES", *EEVEE_NAMES, "BLENDER_WORKBENCH") if select(bpy.context.scene, name)]
    gpu = bool(gpu_devices()) if "CYCLES" in engines else False
    return {**identity(), "engines": engines, "devices": ["cpu", "gpu"] if gpu else ["cpu"], "oidn": has_denoiser()}


def select(scene: Any, engine: str) -> bool:
    """Set the scene's engine under whichever of its names this version knows; False when it has no such engine."""
    names = (engine, *(name for name in EEVEE_NAMES if name != engine)) if engine in EEVEE_NAMES else (engine,)
    for name in names:
        try:
            scene.render.engine = name
        except TypeError:
            continue
        return True
    return False


def has_denoiser() -> bool:
    """Whether Cycles was built with OpenImageDenoise: without it a render that asks for it fails (3.4)."""
    return bool(getattr(_cycles(), "with_openimagedenoise", False))


def gpu_devices() -> list[tuple[str, str]]:
    """(type, name) of each device on which Cycles could render besides the CPU."""
    found: list[tuple[str, str]] = []
    module = _cycles()
    for kind in _GPU_TYPES if module else ():
        try:
            devices = module.available_devices(kind)
        except (RuntimeError, ValueError):
            continue
        found += [(str(device[1]), str(device[0])) for device in devices if device[1] == kind]
    return found


def use_gpu() -> str:
    """Enable every GPU of the first type that has any; that type, or an empty text when there is none."""
    devices = gpu_devices()
    if not devices:
        return ""
    kind = devices[0][0]
    preferences = bpy.context.preferences.addons["cycles"].preferences
    preferences.compute_device_type = kind
    for device in preferences.get_devices_for_type(kind):
        device.use = device.type == kind
    return kind


def try_graphics(folder: str) -> dict[str, Any]:
    """Render one tiny Workbench frame: whether this machine has a graphics context, in hardware or in software.

    EEVEE needs the same context and nothing more, and its own first frame would compile shaders for half a minute.
    A process that cannot do this may die of it, so it is asked of one that is not needed any more.
    """
    scene = bpy.context.scene
    if not select(scene, "BLENDER_WORKBENCH"):
        raise Refused("renderer", "this Blender has no Workbench engine")
    scene.render.resolution_x = scene.render.resolution_y = 16
    scene.render.resolution_percentage = 100
    scene.render.image_settings.file_format = "PNG"
    scene.render.filepath = str(Path(folder) / "graphics_####")
    scene.frame_start = scene.frame_end = 1
    bpy.ops.render.render(animation=True)
    path = Path(scene.render.frame_path(frame=1))
    found = path.is_file() and path.stat().st_size > 0
    path.unlink(missing_ok=True)
    return {"graphics": found}


def _cycles() -> Any:
    try:
        return importlib.import_module("_cycles")
    except ImportError:
        return None
