"""From the driver's JSON to our own rows, checked: a renderer runs foreign scenes, so nothing it says is taken on trust.

What passes here can be written into a fact and be read by every peer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

from peer.ports import Rendered, RenderFailed, ReportedFile
from peer.render.requests import Answer
from protocol import limits
from protocol.errors import Malformed
from protocol.jobs.foreign import file_name
from protocol.jobs.results import Capabilities, Failure, FailureClass, Inspection, SceneWarning, WarningClass, recordable

_NAME_CHARS_MAX: Final = 256
_WORD_CHARS_MAX: Final = 64
_NAMES_MAX: Final = 32
# how Python says that a value is of another kind or size; the last, that it is nested too deeply to be shown
_UNUSABLE: Final = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, Malformed)
_FAILURES: Final[dict[str, FailureClass]] = {
    "scene": "scene",
    "renderer": "renderer",
    "infrastructure": "infrastructure",
    "memory": "memory",
}
_KINDS: Final[dict[str, WarningClass]] = {"info": "info", "picture": "picture"}


def rendered(answer: Answer, folder: Path) -> Rendered:
    """The report of one frame. Raises `RenderFailed` (`renderer`) when it is no such report."""
    try:
        files = tuple(_file(row, folder) for row in answer.result["files"])
        if not 0 < len(files) <= limits.FILES_REPORTED_PER_FRAME_MAX:
            raise ValueError(f"{len(files)} files; a frame has 1 to {limits.FILES_REPORTED_PER_FRAME_MAX}")
        seconds, device = _seconds(answer.result["seconds"]), _text(answer.result["device"], _NAME_CHARS_MAX)
        return Rendered(files, seconds, device, answer.log)
    except _UNUSABLE as error:
        raise RenderFailed(_unusable("a frame", error), log=answer.log) from None


def _unusable(what: str, error: Exception) -> Failure:
    shown = f"{type(error).__name__}: {error}"
    return Failure("renderer", recordable(f"the driver's report of {what} is not usable: {shown}", limits.TEXT_CHARS_MAX))


def _file(row: dict[str, Any], folder: Path) -> ReportedFile:
    name = file_name(row["name"])
    name.encode()
    return ReportedFile(
        role=_text(row["role"], _NAME_CHARS_MAX),
        name=name,
        path=folder / name,
        width=_side(row["width"]),
        height=_side(row["height"]),
        channels=_side(row["channels"]),
        format=_text(row["format"], _NAME_CHARS_MAX),
    )


def capabilities(row: dict[str, Any], renderer: str, home: str) -> Capabilities:
    """What a renderer says that it can do. Raises `RenderFailed` (`renderer`) when it says nothing of the kind."""
    try:
        return Capabilities(
            renderer=renderer,
            version=_text(row["version"], _WORD_CHARS_MAX),
            build=_text(row["build"], 2 * _WORD_CHARS_MAX),
            home=home,
            engines=tuple(_text(name, _WORD_CHARS_MAX) for name in row["engines"][:_NAMES_MAX]),
            devices=tuple(_text(name, 2 * _WORD_CHARS_MAX) for name in row["devices"][:_NAMES_MAX]),
            oidn=bool(row["oidn"]),
        )
    except _UNUSABLE as error:
        raise RenderFailed(_unusable("what it can do", error)) from None


def inspection(row: dict[str, Any]) -> Inspection:
    """The report of an inspection, every text cut to its limit. Raises `RenderFailed` (`renderer`) when it is none."""
    try:
        return _inspection(row)
    except _UNUSABLE as error:
        raise RenderFailed(_unusable("an inspection", error)) from None


def _inspection(row: dict[str, Any]) -> Inspection:
    error = row.get("error")
    failure = None if error is None else Failure(_FAILURES.get(error["kind"], "scene"), _text(error["reason"]))
    version = _text(row["version"], _WORD_CHARS_MAX)
    if "scene" not in row:
        return Inspection(blender=version, error=failure or Failure("renderer", "the inspection has no scene in it"))
    return Inspection(
        blender=version,
        scene=_text(row["scene"], _NAME_CHARS_MAX),
        camera=_text(row["camera"], _NAME_CHARS_MAX),
        engine=_text(row["engine"], _NAME_CHARS_MAX),
        frame_start=_frame(row["frame_start"]),
        frame_end=_frame(row["frame_end"]),
        frame_step=min(max(1, int(row["frame_step"])), limits.FRAME_NUMBER_MAX),
        fps=_seconds(row["fps"]),
        width=_side(row["width"]),
        height=_side(row["height"]),
        format=_text(row["format"], _NAME_CHARS_MAX),
        warnings=tuple(_warning(entry) for entry in row["warnings"][: limits.WARNINGS_PER_SCENE_MAX]),
        error=failure,
        notes=tuple(_text(note) for note in row["notes"][: limits.WARNINGS_PER_SCENE_MAX]),
    )


def _warning(row: dict[str, Any]) -> SceneWarning:
    return SceneWarning(_text(row["code"], _WORD_CHARS_MAX), _KINDS[row["kind"]], _text(row["text"]), _text(row["remedy"]))


def _text(value: object, chars_max: int = limits.REASON_CHARS_MAX) -> str:
    return recordable(str(value), chars_max)


def _between(value: object, low: int, high: int) -> int:
    number = int(value) if isinstance(value, int | float | str) else low - 1
    if not low <= number <= high:
        raise ValueError(f"expected a whole number from {low} to {high}")
    return number


def _frame(value: object) -> int:
    return _between(value, limits.FRAME_NUMBER_MIN, limits.FRAME_NUMBER_MAX)


def _side(value: object) -> int:
    return _between(value, 0, limits.PIXELS_PER_SIDE_MAX)


def _seconds(value: object) -> float:
    number = float(value) if isinstance(value, int | float) else math.nan
    if not 0 <= number <= limits.DURATION_S_MAX:
        raise ValueError(f"expected a number from 0 to {limits.DURATION_S_MAX}")
    return number
