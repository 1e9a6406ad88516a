"""From a scene, its .ini and a job's settings to the options that POV-Ray gets: one file per frame, written by us alone.

Decides sizes, frames, format and what is refused. Runs in the driver: standard library only, and nothing of the daemon.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from peer.render.driver.refusal import Refused
from peer.render.povray import ini
from peer.render.povray.references import INI_BYTES_MAX, read_text

SIZE: Final = (800, 600)
PARSE_S: Final = 600.0
FORMATS: Final = {
    "N": ("PNG", ".png"), "J": ("JPEG", ".jpg"), "E": ("OPEN_EXR", ".exr"), "B": ("BMP", ".bmp"), "H": ("HDR", ".hdr"),
    "T": ("TARGA", ".tga"), "C": ("TARGA", ".tga"),
}  # fmt: skip
"""POV-Ray's letters of formats: our names and what its files end in."""

_ASKED: Final = {"PNG": "N", "JPEG": "J", "OPEN_EXR": "E"}
_NOT_OURS: Final = ("scene_name", "view_layer", "camera", "engine", "samples")
_ALPHA: Final = frozenset("NETC")
# settings of a job that stand for an option of the same meaning
_OPTIONS: Final = {
    "clock": "Clock", "clock_start": "Initial_Clock", "clock_end": "Final_Clock", "quality": "Quality",
    "antialias_depth": "Antialias_Depth", "antialias_method": "Sampling_Method",
}  # fmt: skip


@dataclass(slots=True)
class Plan:
    """What is rendered. `source` is absolute; `first` to `last` are the scene's frames, `begin` to `end` those that it asks
    for; `animated` says whether it has told any."""

    source: Path
    folders: list[Path]
    read: ini.Ini
    width: int = SIZE[0]
    height: int = SIZE[1]
    animated: bool = False
    first: int = 1
    last: int = 1
    begin: int = 1
    end: int = 1
    letter: str = "N"
    channels: int = 3
    threads: int | None = None
    parse_s: float = PARSE_S
    options: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def format(self) -> str:
        return FORMATS[self.letter][0]

    @property
    def suffix(self) -> str:
        return FORMATS[self.letter][1]


def make_plan(tree: Path, main: str, settings: Mapping[str, Any]) -> Plan:
    """Raises `Refused` (`scene`): a setting that POV-Ray does not have, a file that is not there."""
    wishes = settings.get("settings") or {}
    for name in _NOT_OURS:
        if settings.get(name) is not None:
            raise Refused("scene", f"POV-Ray has no setting {name!r}; leave it out")
    if settings.get("device") == "gpu":
        raise Refused("scene", "POV-Ray renders on the processor alone; submit with device=auto or cpu")
    scene = tree / main
    own = _read(tree, main, wishes)
    plan = Plan(_source(tree, scene, own), [scene.parent], own)
    if plan.source.parent != scene.parent:
        plan.folders.append(plan.source.parent)
    _libraries(tree, scene.parent, plan)
    _size(plan, settings)
    _frames(plan, wishes)
    _picture(plan, settings, wishes)
    plan.threads = settings.get("threads")
    plan.parse_s = float(wishes.get("parse_timeout_s") or PARSE_S)
    return plan


def lines(plan: Plan, frame: int, output: str, threads: int, libraries: list[Path]) -> str:
    """The whole .ini of one frame. Raises `Refused` for a frame that the scene does not have."""
    if not plan.first <= frame <= plan.last:
        raise Refused(
            "scene",
            f"frame {frame} is none of the scene's frames {plan.first} to {plan.last}; for another range, which is also "
            f"the clock's, set frame_start and frame_end (--setting frame_end={max(frame, 2)})",
        )
    rows: list[tuple[str, object]] = [
        ("Input_File_Name", quoted(plan.source)),
        *(("Library_Path", quoted(path)) for path in libraries),
    ]
    rows += [("Width", plan.width), ("Height", plan.height), *plan.options.items()]
    rows += [("Declare", f"{name}={number}") for name, number in plan.read.declared.items()]
    if plan.animated:
        rows += [("Initial_Frame", plan.first), ("Final_Frame", plan.last)]
        rows += [("Subset_Start_Frame", frame), ("Subset_End_Frame", frame)]
    rows += [("Output_to_File", "On"), ("Output_File_Name", quoted(output)), ("Work_Threads", threads)]
    rows += [("Display", "Off"), ("Verbose", "On"), ("All_Console", "On"), ("Pause_When_Done", "Off"), ("Continue_Trace", "Off")]
    return "".join(f"{name}={value}\n" for name, value in rows)


def quoted(path: Path | str) -> str:
    """A path as it can stand in an .ini. Raises `Refused` for one that cannot."""
    text = str(path)
    if '"' in text or not text.isprintable():
        raise Refused("scene", f"POV-Ray cannot be given the name {text[-80:]!r}: rename it, without quotation marks")
    return f'"{text}"'


def _read(tree: Path, main: str, wishes: Mapping[str, Any]) -> ini.Ini:
    """The .ini of the job: the main file itself, or the one that the settings name."""
    section = str(wishes.get("section") or "")
    named = wishes.get("ini")
    if main.lower().endswith(".ini"):
        place = tree / main
    elif named is not None:
        place = _inside(tree, (tree / main).parent, str(named), "the .ini of the settings")
    else:
        return ini.Ini()
    if not place.is_file():
        raise Refused("scene", f"there is no file {named!r} among those of the job; send it along: --asset {named}")
    found = ini.read_ini(read_text(place, INI_BYTES_MAX), section)
    if section and section.lower() not in [one.lower() for one in found.sections]:
        there = ", ".join(found.sections[:20]) or "none"
        raise Refused("scene", f"{place.name} has no section {section[:80]!r}; there are: {there}")
    return found


def _source(tree: Path, scene: Path, own: ini.Ini) -> Path:
    if scene.suffix.lower() != ".ini":
        return scene
    if not own.source:
        raise Refused("scene", f"{scene.name} names no scene (Input_File_Name); submit the .pov with --setting ini={scene.name}")
    source = _inside(tree, scene.parent, own.source, "Input_File_Name")
    if not source.is_file():
        raise Refused("scene", f"the scene {own.source!r} of {scene.name} is not among the files; send it along: --asset")
    return source


def _inside(tree: Path, folder: Path, name: str, what: str) -> Path:
    """A file of the tree by a relative name. Links are not followed: the tree consists of them."""
    place = Path(os.path.normpath(folder / name))
    if PurePosixPath(name).is_absolute() or ":" in name[:2] or not place.is_relative_to(tree):
        raise Refused("scene", f"{what} is {name[:200]!r}: name it relative to the scene's folder, in or below that")
    return place


def _libraries(tree: Path, folder: Path, plan: Plan) -> None:
    for name in plan.read.libraries:
        try:
            place = _inside(tree, folder, name, "Library_Path")
        except Refused:
            plan.left_out.append(name)
            continue
        if place not in plan.folders:
            plan.folders.append(place)


def _size(plan: Plan, settings: Mapping[str, Any]) -> None:
    numbers = plan.read.numbers
    if settings.get("resolution"):
        plan.width, plan.height = map(int, str(settings["resolution"]).split("x"))
        return
    if "width" not in numbers or "height" not in numbers:
        plan.notes.append(f"no whole size is given: what is missing comes from {SIZE[0]}x{SIZE[1]}")
    plan.width, plan.height = numbers.get("width", SIZE[0]), numbers.get("height", SIZE[1])
    if not (0 < plan.width <= 65_536 and 0 < plan.height <= 65_536):
        raise Refused("scene", f"a picture of {plan.width}x{plan.height} pixels cannot be; each side has 1 to 65536")


def _frames(plan: Plan, wishes: Mapping[str, Any]) -> None:
    numbers = plan.read.numbers
    first, last = wishes.get("frame_start"), wishes.get("frame_end")
    plan.animated = not {"initial_frame", "final_frame"}.isdisjoint(numbers) or first is not None or last is not None
    plan.first = numbers.get("initial_frame", 1) if first is None else first
    plan.last = numbers.get("final_frame", max(1, plan.first)) if last is None else last
    if plan.last < plan.first:
        raise Refused("scene", f"the scene's frames end ({plan.last}) before they begin ({plan.first})")
    plan.begin = min(max(numbers.get("subset_start_frame", plan.first), plan.first), plan.last)
    plan.end = max(min(numbers.get("subset_end_frame", plan.last), plan.last), plan.begin)
    if not plan.animated:
        plan.notes.append("the scene tells no frames and has one, number 1; --setting frame_end=48 makes it an animation of 48")


def _picture(plan: Plan, settings: Mapping[str, Any], wishes: Mapping[str, Any]) -> None:
    """Format and whatever else decides pixels, the job's word last."""
    options = dict(plan.read.kept)
    options |= {option: f"{wishes[name]:g}" for name, option in _OPTIONS.items() if wishes.get(name) is not None}
    options |= {"Cyclic_Animation": "On" if wishes["cyclic"] else "Off"} if wishes.get("cyclic") is not None else {}
    options |= {"Jitter": "On" if wishes["jitter"] else "Off"} if wishes.get("jitter") is not None else {}
    if wishes.get("antialias") is not None:
        options |= {"Antialias": "On", "Antialias_Threshold": f"{wishes['antialias']:g}"}
    plan.read.declared |= {name: f"{number:.17g}" for name, number in (wishes.get("declare") or {}).items()}
    plan.letter = _letter(plan, options, settings.get("format"))
    bits = settings.get("color_depth") or plan.read.numbers.get("bits_per_color")
    if settings.get("color_depth") is not None and (plan.letter != "N" or str(bits) not in ("8", "16")):
        raise Refused("scene", f"POV-Ray writes no {plan.format} with {bits} bits; PNG has 8 or 16, the others what they have")
    mode = settings.get("color_mode")
    if mode is not None:
        options |= {"Output_Alpha": "On" if mode == "RGBA" else "Off", "Grayscale_Output": "On" if mode == "BW" else "Off"}
    grey, alpha = (options.get(name) == "On" for name in ("Grayscale_Output", "Output_Alpha"))
    if (grey and plan.letter != "N") or (alpha and plan.letter not in _ALPHA):
        if mode is not None:
            raise Refused("scene", f"POV-Ray writes no {plan.format} of the colour mode {mode}; choose PNG")
        plan.notes.append(f"{plan.format} holds no {'grey levels alone' if grey else 'alpha'} here: it becomes RGB")
        grey = alpha = False
        options |= {"Output_Alpha": "Off", "Grayscale_Output": "Off"}
    plan.channels = (1 if grey else 3) + (1 if alpha else 0)
    if plan.letter == "N":
        options["Bits_Per_Color"] = str(bits or 8)
    if settings.get("quality") is not None and plan.letter == "J":
        options["Compression"] = str(settings["quality"])
    options["Output_File_Type"] = plan.letter
    plan.options = options


def _letter(plan: Plan, options: Mapping[str, str], asked: object) -> str:
    if asked is not None:
        if asked not in _ASKED:
            raise Refused("scene", f"POV-Ray writes no {asked}; choose one of {', '.join(_ASKED)}")
        return _ASKED[str(asked)]
    told = options.get("Output_File_Type", "N")[:1].upper()
    if told not in FORMATS:
        plan.notes.append(f"the format {told} of the .ini cannot be verified here: PNG takes its place")
    return told if told in FORMATS else "N"
