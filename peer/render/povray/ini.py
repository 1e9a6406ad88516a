"""POV-Ray's .ini files, read by us: POV-Ray itself never sees one, for they may start programs and write anywhere.

Decides what an option means for a job: kept as it is, a frame range, a file, a program that is not started, or unknown. Runs in
the driver and in peerctl: standard library only, and nothing of the daemon.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import Final

# options that decide pixels and are handed on as they are, by what they hold
_KEPT: Final = {
    "flag": (
        "Antialias Jitter Cyclic_Animation Field_Render Odd_Field Bounding Remove_Bounds Split_Unions "
        "Light_Buffer Vista_Buffer Radiosity_Vain_Pretrace Dither Output_Alpha Grayscale_Output High_Reproducibility"
    ),
    "number": (
        "Antialias_Threshold Antialias_Depth Antialias_Gamma Sampling_Method Jitter_Amount Quality Initial_Clock "
        "Final_Clock Clock Bounding_Threshold Bounding_Method Display_Gamma BSP_MaxDepth BSP_IsectCost BSP_BaseAccessCost "
        "BSP_ChildAccessCost BSP_MissChance Render_Block_Size Render_Pattern Max_Image_Buffer_Memory Compression Version"
    ),
    "word": "File_Gamma Dither_Method Output_File_Type",
}
KEPT: Final = {name.lower(): (name, kind) for kind, names in _KEPT.items() for name in names.split()}
_WHOLE: Final = (
    "width", "height", "initial_frame", "final_frame", "subset_start_frame", "subset_end_frame", "bits_per_color",
)  # fmt: skip
PROGRAMS_BEFORE: Final = ("pre_scene_command", "pre_frame_command")
PROGRAMS: Final = (*PROGRAMS_BEFORE, "post_frame_command", "post_scene_command", "user_abort_command", "fatal_error_command")
PARTIAL: Final = ("start_row", "end_row", "start_column", "end_column")
_PARTLY_SAID: Final = re.compile(r"[+-](?:sr|er|sc|ec)\S+\Z", re.IGNORECASE)
# of no meaning to a mesh: where POV-Ray shows things, and what it writes about them
_SILENT_NAMES: Final = (
    "display verbose all_console all_file debug_console debug_file fatal_console fatal_file render_console render_file "
    "statistic_console statistic_file warning_console warning_file warning_level pause_when_done video_mode palette "
    "preview_start_size preview_end_size output_to_file output_file_name continue_trace create_histogram histogram_type "
    "create_ini test_abort test_abort_count buffer_output buffer_size draw_vistas include_header input_file_name library_path "
    "pre_scene_return pre_frame_return post_frame_return post_scene_return user_abort_return fatal_error_return work_threads "
    "create_continue_trace_log show_control_panel"
)
_SILENT: Final = frozenset(_SILENT_NAMES.split())
_FLAGS: Final = {"on": "On", "yes": "On", "true": "On", "1": "On", "off": "Off", "no": "Off", "false": "Off", "0": "Off"}
_WORD: Final = re.compile(r"[A-Za-z0-9_.]{1,40}\Z")
_NAME: Final = re.compile(r"[A-Za-z_]\w{0,39}\Z", re.ASCII)
# +W640 and its like: (letters, option, what holds when there is no value)
_SWITCHES: Final = (
    ("kff", "final_frame", ""), ("kfi", "initial_frame", ""), ("ki", "initial_clock", ""), ("kf", "final_clock", ""),
    ("kc", "cyclic_animation", "flag"), ("k", "clock", ""), ("sf", "subset_start_frame", ""), ("ef", "subset_end_frame", ""),
    ("am", "sampling_method", ""), ("a", "antialias_threshold", "antialias"), ("r", "antialias_depth", ""),
    ("j", "jitter_amount", "jitter"), ("q", "quality", ""), ("w", "width", ""), ("h", "height", ""),
    ("ua", "output_alpha", "flag"), ("fn", "", "png"), ("f", "output_file_type", "keep"), ("l", "library_path", ""),
    ("i", "input_file_name", ""), ("o", "output_file_name", ""), ("mb", "bounding_threshold", "bounding"),
    ("wt", "work_threads", ""), ("d", "display", "flag"), ("v", "verbose", "flag"), ("p", "pause_when_done", "flag"),
    ("x", "test_abort", "flag"), ("c", "continue_trace", "flag"), ("ga", "all_console", "flag"),
)  # fmt: skip


@dataclass(slots=True)
class Ini:
    """What a file says. `kept` are lines for POV-Ray by option, `numbers` what we read ourselves, `unknown` what is left out."""

    source: str = ""
    libraries: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    declared: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    programs: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    sections: list[str] = field(default_factory=list)


def read_ini(text: str, section: str = "") -> Ini:
    """What stands before the first section, and in the one that is asked for."""
    found = Ini()
    current = ""
    for line in text.splitlines():
        line = _without_comment(line).strip()
        if line.startswith("[") and line.endswith("]"):
            current = line[1:-1].strip()
            found.sections.append(current)
        elif line and current.lower() in ("", section.lower()):
            _read_line(line, found)
    return found


def _read_line(line: str, found: Ini) -> None:
    key, equals, value = line.partition("=")
    if equals and not line.startswith(("+", "-")):
        take(key.strip().lower(), value.strip().strip("\"'"), found, line)
        return
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    for word in words:
        _switch(word, found)


def take(key: str, value: str, found: Ini, line: str) -> None:
    """One option, by its name in small letters."""
    if key == "input_file_name":
        found.source = value.replace("\\", "/")
    elif key == "library_path":
        found.libraries.append(value.replace("\\", "/"))
    elif key == "declare":
        name, _, number = (part.strip() for part in value.partition("="))
        if _NAME.match(name) and _is_number(number):
            found.declared[name] = number
        else:
            found.unknown.append(line)
    elif key in PROGRAMS:
        found.programs.append(key)
    elif key in PARTIAL:
        found.partial.append(key)
    elif key in _WHOLE:
        _take_whole(key, value, found, line)
    elif key in KEPT:
        _keep(key, value, found, line)
    elif key not in _SILENT:
        found.unknown.append(line)


def _take_whole(key: str, value: str, found: Ini, line: str) -> None:
    if re.fullmatch(r"\d{1,9}", value, re.ASCII):
        found.numbers[key] = int(value)
    else:
        found.unknown.append(line)


def _keep(key: str, value: str, found: Ini, line: str) -> None:
    name, kind = KEPT[key]
    shown = _FLAGS.get(value.lower()) if kind == "flag" else value
    fits = shown is not None and (kind == "flag" or (_is_number(shown) if kind == "number" else _WORD.match(shown)))
    if fits and shown is not None:
        found.kept[name] = shown
    else:
        found.unknown.append(line)


def _switch(word: str, found: Ini) -> None:
    """`+W640`, `-A`, ... as they may stand in a file too."""
    body = word[1:].lower()
    if word[:1] not in ("+", "-"):
        if word.lower().endswith(".pov"):
            found.source = word.replace("\\", "/")
        else:
            found.unknown.append(word)
        return
    if _PARTLY_SAID.match(word):
        found.partial.append(word)
        return
    on = "on" if word[0] == "+" else "off"
    letters, option, kind = next((one for one in _SWITCHES if body.startswith(one[0])), ("", "", "no"))
    value = word[1 + len(letters) :]
    match kind:
        case "no":
            found.unknown.append(word)
        case "png":
            take("output_file_type", "N", found, word)
            if value.lower().startswith("g"):
                take("grayscale_output", "on", found, word)
            if bits := value.lower().removeprefix("g"):
                take("bits_per_color", bits, found, word)
        case "keep":
            take("output_file_type", value or "N", found, word)
        case "flag":
            take(option, on, found, word)
        case "":
            take(option, value, found, word)
        case switch:  # +A0.3: the switch, and its amount
            take(switch, on, found, word)
            if value:
                take(option, value, found, word)


def _without_comment(line: str) -> str:
    quoted = False
    for at, char in enumerate(line):
        if char in "\"'":
            quoted = not quoted
        elif char == ";" and not quoted:
            return line[:at]
    return line


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})(?:[eE][+-]?\d{1,3})?", text, re.ASCII) is not None
