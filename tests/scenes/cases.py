"""The table: every scene of `make_cases.py`, and what the mesh must make of it. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from tests.scenes.build import Home

BOTH: Final[tuple[Home, ...]] = ("bpy", "program")
NEWER: Final[tuple[Home, ...]] = ("bpy",)  # the module is the newer one: 5.0; the program is Debian's 3.4


@dataclass(frozen=True)
class Case:
    """`codes` are those of all findings, `state` is where the job must come to rest without help.

    `frames` are those that the job must have. `pictures`: `equal` compares every file with a single Blender's, `sized` only
    its dimensions, since no two processes draw the same. A job that is held is accepted and finished where `accept` is set.
    """

    name: str
    codes: tuple[str, ...] = ()
    state: Literal["completed", "held", "failed"] = "completed"
    reason: str = ""  # a part of the error's text
    frames: tuple[int, ...] = (1, 2, 3)
    files: int = 1  # per frame
    pictures: Literal["equal", "sized"] = "equal"
    accept: bool = False
    lost: tuple[int, ...] = ()  # frames that fail, each for `reason`
    homes: tuple[Home, ...] = BOTH
    spec: dict[str, Any] = field(default_factory=dict)
    reference: dict[str, str] = field(default_factory=dict)
    dangerous: bool = False  # ends Blender, or takes much memory: run by itself
    older: dict[str, Any] = field(default_factory=dict)  # what is different in 3.4

    def at(self, home: Home) -> Case:
        """The case as it is in that home."""
        return replace(self, **self.older) if home == "program" else self


def held(name: str, *codes: str, **more: Any) -> Case:
    return Case(name, codes, "held", accept=more.pop("accept", True), **more)


def physics(name: str, **more: Any) -> Case:
    """Held for good: who accepts it gets frames that need not fit together."""
    return held(name, "unbaked_simulation", accept=False, **more)


_BAD: Final = (
    held("refused_driver", "refused_driver"),
    Case("registered_text", ("refused_script",)),
    held("missing_texture", "missing_image"),
    Case("texture_beside"),
    held("windows_path", "missing_image"),
    held("missing_tile", "missing_image"),
    Case("sequence"),
    held("sequence_gap", "incomplete_sequence"),
    Case("late_plate"),
    Case("picture_strip"),
    held("missing_strip", "missing_strip"),
    held("missing_library", "missing_library"),
    Case("library"),
    held("missing_font", "missing_font"),
    held("missing_ies", "missing_ies"),
    held("missing_osl", "missing_osl"),
    held("missing_volume", "missing_volume"),
    held("missing_mesh_cache", "missing_cache"),
    held("missing_alembic", "missing_cache", homes=NEWER),  # Debian's 3.4 was built without Alembic
    physics("unbaked_cloth"),
    Case("baked_cloth"),
    Case("cloth_beside_cache"),
    held("cloth_without_cache", "missing_cache", accept=False),
    Case("muted_without_cache"),
    held("external_without_cache", "missing_cache", accept=False),
    physics("unbaked_soft_body"),
    physics("unbaked_particles"),
    Case("hair"),
    physics("unbaked_rigid_body"),
    physics("unbaked_fluid"),
    physics("unbaked_simulation_zone", homes=NEWER),
    Case("baked_simulation_zone", homes=NEWER),
    held("unknown_engine", "unknown_engine", accept=False),
    Case("unknown_engine_overridden", spec={"engine": "CYCLES"}, reference={"engine": "CYCLES"}),
    held("unknown_view_transform", "color_management"),
    held("unknown_color_space", "color_management"),
    Case("time_limit", ("not_comparable",)),
    Case("stamp", ("not_comparable",), pictures="sized"),
    Case("stamp_of_frame"),
    Case("denoised", older={"codes": ("no_denoiser",), "state": "held"}),
    Case("no_camera", state="failed", reason="no camera"),
    held("nothing_to_write", "no_view_layer"),
    Case("crash_on_one_frame", state="failed", reason="died", lost=(2,), dangerous=True),
)

_ASSETS: Final = (
    Case("udim"),
    Case("late_sequence"),
    Case("volume_sequence", homes=NEWER),  # what writes the files comes with 5.0
    Case("alembic", homes=NEWER),
    Case("mesh_cache"),
    Case("particles_beside_cache"),
    Case("paths_of_elsewhere"),
    Case("own_ocio", spec={"settings": '{"ocio": "color/config.ocio"}'}, reference={"ocio": "color/config.ocio"}),
)

_SHAPES: Final = (
    Case("unwritable_node", files=2),
    Case("node_outputs", files=8),
    Case("node_outputs_per_layer", files=3),
    Case("view_layers"),
    Case("second_layer_only", spec={"view_layer": "Balls"}, reference={"view_layer": "Balls"}),
    Case("stereo", files=2),
    Case("stereo_nodes", files=4),
    Case("stereo_side_by_side"),
    Case("stereo_layers"),
    Case("video_output", reference={"format": "PNG"}),
    Case("percentage_and_border"),
    Case("border_uncropped"),
    Case("marker_cameras"),
    Case("several_scenes"),
    Case("scene_by_name", spec={"scene_name": "First"}, reference={"scene": "First"}),
    Case("negative_frames", frames=(-2, -1, 0, 1), spec={"frames": "-2-1"}),
    Case("negative_with_nodes", frames=(-2, -1, 0, 1), files=2, spec={"frames": "-2-1"}),
    Case("many_digits", frames=(12_344, 12_345)),
    Case("video_edit"),
    Case("simple_driver"),
    Case("freestyle"),
    Case("workbench"),
    Case("motion_blur"),
    Case("animated_seed"),
    Case("transparent"),
    Case("multilayer_passes"),
)

_FORMATS: Final = tuple(
    Case(f"format_{name}")
    for name in (
        "png_8", "png_16", "jpeg", "tiff_8", "tiff_16", "webp", "open_exr_16", "open_exr_32", "open_exr_multilayer_16",
        "open_exr_multilayer_32", "bmp", "targa", "targa_raw", "iris", "hdr", "dpx_10", "cineon",
    )
)  # fmt: skip

_FORMATS_REFUSED: Final = (
    Case("format_jpeg2000_16", state="failed", reason="JPEG2000"),
    Case("node_in_jpeg2000", state="failed", reason="JPEG2000"),
)

TABLE: Final = (*_BAD, *_ASSETS, *_SHAPES, *_FORMATS, *_FORMATS_REFUSED)


def named(name: str) -> Case:
    """Raises `KeyError`."""
    return {case.name: case for case in TABLE}[name]
