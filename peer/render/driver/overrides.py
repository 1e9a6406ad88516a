"""Laying a job's settings over an opened scene, and the rules that hold for every job. Seeds stay as they are.

What a scene cannot honour is refused with what it could; what an override drops from the picture is noted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from peer.render.driver import engines
from peer.render.driver.blender import bpy
from peer.render.driver.refusal import Refused, choices

VIDEO_FORMATS = ("FFMPEG", "AVI_JPEG", "AVI_RAW")
CHECKED_FORMATS = (
    "PNG", "JPEG", "TIFF", "WEBP", "OPEN_EXR", "OPEN_EXR_MULTILAYER",
    "BMP", "TARGA", "TARGA_RAW", "IRIS", "HDR", "DPX", "CINEON",
)  # fmt: skip
"""Formats whose files a peer can decode: only what was verified is ever given out."""

VARIABLE_STAMPS = ("use_stamp_date", "use_stamp_render_time", "use_stamp_memory", "use_stamp_hostname", "use_stamp_filename")
"""What a stamp says that differs from process to process."""

_WITH_QUALITY = ("JPEG", "WEBP", "JPEG2000")
_WORKBENCH_SAMPLES = ((32, "32"), (16, "16"), (11, "11"), (8, "8"), (5, "5"), (2, "FXAA"), (1, "OFF"))


@dataclass
class Applied:
    """What came of it: the device that will render, and notes for people."""

    device: str = "cpu"
    notes: list[str] = field(default_factory=list)


def choose_scene(name: str | None) -> Any:
    """The scene of that name, or the file's active one. Raises `Refused` listing the scenes."""
    if name is None:
        return bpy.context.window.scene
    for scene in bpy.data.scenes:
        if scene.name == name:
            return scene
    raise Refused("scene", f"the file has no scene named {name!r}; it has {choices([scene.name for scene in bpy.data.scenes])}")


def apply(scene: Any, settings: dict[str, Any]) -> Applied:
    """Apply every field of `settings`, then what no job decides. Raises `Refused`."""
    applied = Applied()
    if settings["settings"]:
        raise Refused("scene", f"settings: the Blender renderer knows no {choices(list(settings['settings']))}")
    _engine(scene, settings["engine"])
    applied.device = _device(scene, settings["device"])
    _samples(scene, settings["samples"], applied.notes)
    _camera(scene, settings["camera"])
    _view_layer(scene, settings["view_layer"])
    _resolution(scene, settings["resolution"])
    _threads(scene, settings["threads"])
    _format(scene, settings, applied.notes)
    _denoising(scene, applied.notes)
    _house_rules(scene)
    return applied


def _engine(scene: Any, engine: str | None) -> None:
    if engine is not None and not engines.select(scene, engine):
        there = [name for name in ("CYCLES", *engines.EEVEE_NAMES, "BLENDER_WORKBENCH") if engines.select(scene, name)]
        raise Refused("renderer", f"this Blender has no engine {engine}; it has {choices(there)}")


def _device(scene: Any, device: str) -> str:
    """The device in the form cpu, gpu:TYPE or opengl (whatever draws for EEVEE and Workbench)."""
    if scene.render.engine != "CYCLES":
        return "opengl"
    kind = engines.use_gpu() if device in ("auto", "gpu") else ""
    if device == "gpu" and not kind:
        raise Refused("renderer", "this peer has no GPU that Cycles can use; submit with device=cpu or device=auto")
    scene.cycles.device = "GPU" if kind else "CPU"
    return f"gpu:{kind.lower()}" if kind else "cpu"


def _samples(scene: Any, samples: int | None, notes: list[str]) -> None:
    if samples is None:
        return
    engine = scene.render.engine
    if engine == "CYCLES":
        scene.cycles.samples = samples
        for layer in scene.view_layers:
            layer.samples = 0  # a layer's own number would win over the job's
    elif engine in engines.EEVEE_NAMES:
        scene.eevee.taa_render_samples = samples
    else:
        name = next(name for least, name in _WORKBENCH_SAMPLES if samples >= least)
        scene.display.render_aa = name
        if name != str(samples):
            notes.append(f"Workbench has no {samples} samples; it renders with {name}")


def _camera(scene: Any, name: str | None) -> None:
    """Make it the scene's camera for every frame: cameras bound to markers would take over again."""
    if name is None:
        return
    cameras = [obj for obj in scene.objects if obj.type == "CAMERA"]
    for camera in cameras:
        if camera.name == name:
            scene.camera = camera
            for marker in scene.timeline_markers:
                marker.camera = None
            return
    raise Refused("scene", f"the scene {scene.name!r} has no camera named {name!r}; it has {choices([c.name for c in cameras])}")


def _view_layer(scene: Any, name: str | None) -> None:
    if name is None:
        return
    names = [layer.name for layer in scene.view_layers]
    if name not in names:
        raise Refused("scene", f"the scene {scene.name!r} has no view layer named {name!r}; it has {choices(names)}")
    for layer in scene.view_layers:
        layer.use = layer.name == name


def _resolution(scene: Any, resolution: str | None) -> None:
    if resolution is None:
        return
    width, height = resolution.split("x")
    scene.render.resolution_x, scene.render.resolution_y = int(width), int(height)
    scene.render.resolution_percentage = 100


def _threads(scene: Any, threads: int | None) -> None:
    if threads is not None:
        scene.render.threads_mode = "FIXED"
        scene.render.threads = threads


def _format(scene: Any, settings: dict[str, Any], notes: list[str]) -> None:
    image = scene.render.image_settings
    before = (image.file_format, image.color_mode, image.color_depth)
    wanted = settings["format"]
    if wanted is None and before[0] in VIDEO_FORMATS:
        wanted = "PNG"
        notes.append(f"the scene writes video ({before[0]}); its frames are rendered as PNG")
    if wanted is not None:
        _set_file_format(image, wanted)
    check_format(image.file_format, "the scene")
    _choose(image, "color_mode", settings["color_mode"])
    _choose(image, "color_depth", settings["color_depth"])
    _quality(image, settings["quality"], notes)
    if image.file_format == "WEBP" and image.color_mode == "BW":
        _grey_webp(image, settings["color_mode"], notes)
    _keep_views(scene, image)
    notes += _dropped(before, image)


def check_format(name: str, what: str) -> None:
    """Raises `Refused` (`scene`) for a format that no peer could verify: better now than after each frame."""
    if name not in CHECKED_FORMATS:
        known = ", ".join(CHECKED_FORMATS[:6])
        raise Refused("scene", f"{what} writes {name}, which cannot be verified here; choose one of {known}")


def _set_file_format(image: Any, wanted: str) -> None:
    if hasattr(image, "media_type"):
        image.media_type = "MULTI_LAYER_IMAGE" if wanted == "OPEN_EXR_MULTILAYER" else "IMAGE"
    try:
        image.file_format = wanted
    except TypeError as error:
        raise Refused("renderer", f"this Blender cannot write {wanted}: {_offered(error)}") from None


def _choose(image: Any, name: str, value: str | None) -> None:
    if value is None:
        return
    refused = ""
    try:
        setattr(image, name, value)
    except TypeError as error:
        refused = _offered(error)
    if refused or str(getattr(image, name)) != value:
        offered = refused or "the scene's own"
        raise Refused("scene", f"{name}: {image.file_format} cannot be written with {value}; choose one of {offered}")


def _offered(error: TypeError) -> str:
    """The values in Blender's message `enum "X" not found in ('A', 'B')`."""
    text = str(error)
    return text[text.rfind("(") + 1 : text.rfind(")")].replace("'", "").rstrip(",") if "(" in text else text


def _quality(image: Any, quality: int | None, notes: list[str]) -> None:
    if quality is None:
        return
    if image.file_format in _WITH_QUALITY:
        image.quality = quality
    else:
        notes.append(f"quality: {image.file_format} is lossless and has none; ignored")


def _grey_webp(image: Any, asked: str | None, notes: list[str]) -> None:
    """Blender offers this combination and then fails to save it."""
    if asked is not None:
        raise Refused("scene", "color_mode: WEBP cannot be written with BW; choose one of RGB, RGBA")
    image.color_mode = "RGB"
    notes.append("WEBP cannot be written in black and white; it is written as RGB")


def _keep_views(scene: Any, image: Any) -> None:
    """A multilayer EXR holds the views of a stereo scene as parts; a format without that writes one file each."""
    if not scene.render.use_multiview or image.views_format not in ("", "STEREO_3D"):
        return
    if image.file_format == "OPEN_EXR_MULTILAYER":
        image.views_format = "MULTIVIEW"
    elif image.views_format == "":
        image.views_format = "INDIVIDUAL"


def _dropped(before: tuple[str, str, str], image: Any) -> list[str]:
    notes = []
    if before[0] == "OPEN_EXR_MULTILAYER" and image.file_format != before[0]:
        notes.append(f"format {image.file_format} keeps the combined picture only: the scene's render passes are dropped")
    if before[1] == "RGBA" and image.color_mode != "RGBA":
        notes.append(f"{image.file_format} with {image.color_mode} drops the scene's alpha channel")
    if int(image.color_depth) < int(before[2]) and before[0] not in VIDEO_FORMATS:
        notes.append(f"{image.file_format} with {image.color_depth} bits per channel has less depth than the scene's {before[2]}")
    return notes


def _denoising(scene: Any, notes: list[str]) -> None:
    """A Blender without a denoiser fails every frame that asks for it; whoever accepted the warning gets a picture."""
    if scene.render.engine == "CYCLES" and scene.cycles.use_denoising and not engines.has_denoiser():
        scene.cycles.use_denoising = False
        notes.append("this Blender has no OpenImageDenoise: frames are rendered without denoising")


def _house_rules(scene: Any) -> None:
    """What holds for every job: files are always written anew, nothing of the peer stands in them, data stays between frames.

    A stamp that is burnt into the picture is the artist's wish and stays as it is."""
    render = scene.render
    render.use_overwrite = True
    render.use_placeholder = False
    render.use_file_extension = True
    render.use_persistent_data = True
    if render.use_stamp:
        return
    for name in render.bl_rna.properties.keys():  # noqa: SIM118 - Blender's collections iterate over values
        if name.startswith("use_stamp_"):
            setattr(render, name, False)
