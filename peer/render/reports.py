"""From the driver's JSON to our own rows, checked: a renderer runs foreign scenes, so nothing it says is taken on trust."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Final

from peer.ports import Rendered, RenderFailed, ReportedFile
from peer.render.requests import Answer
from protocol import limits
from protocol.jobs.results import Failure, FailureClass, Inspection, SceneWarning, WarningClass

_NAME_CHARS_MAX: Final = 256
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
        return Rendered(files, float(answer.result["seconds"]), str(answer.result["device"])[:_NAME_CHARS_MAX], answer.log)
    except (KeyError, TypeError, ValueError) as error:
        failure = Failure("renderer", f"the driver's report of a frame is not usable: {error}")
        raise RenderFailed(failure, log=answer.log) from None


def _file(row: dict[str, Any], folder: Path) -> ReportedFile:
    name = str(row["name"])
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or len(name) > limits.FILE_NAME_BYTES_MAX:
        raise ValueError(f"the file name {name[:80]!r} leaves the frame's folder")
    return ReportedFile(
        role=str(row["role"])[:_NAME_CHARS_MAX],
        name=name,
        path=folder / name,
        width=int(row["width"]),
        height=int(row["height"]),
        channels=int(row["channels"]),
        format=str(row["format"])[:_NAME_CHARS_MAX],
    )


def inspection(row: dict[str, Any]) -> Inspection:
    """The report of an inspection, every text cut to its limit. Raises `RenderFailed` (`renderer`) when it is none."""
    try:
        return _inspection(row)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise RenderFailed(Failure("renderer", f"the driver's report of an inspection is not usable: {error}")) from None


def _inspection(row: dict[str, Any]) -> Inspection:
    error = row.get("error")
    failure = None if error is None else Failure(_FAILURES.get(error["kind"], "scene"), _text(error["reason"]))
    if "scene" not in row:
        return Inspection(blender=str(row["version"]), error=failure or Failure("renderer", "the inspection has no scene in it"))
    return Inspection(
        blender=str(row["version"]),
        scene=_text(row["scene"]),
        camera=_text(row["camera"]),
        engine=_text(row["engine"]),
        frame_start=int(row["frame_start"]),
        frame_end=int(row["frame_end"]),
        frame_step=max(1, int(row["frame_step"])),
        fps=float(row["fps"]),
        width=int(row["width"]),
        height=int(row["height"]),
        format=_text(row["format"]),
        warnings=tuple(_warning(entry) for entry in row["warnings"][: limits.WARNINGS_PER_SCENE_MAX]),
        error=failure,
        notes=tuple(_text(note) for note in row["notes"][: limits.WARNINGS_PER_SCENE_MAX]),
    )


def _warning(row: dict[str, Any]) -> SceneWarning:
    return SceneWarning(str(row["code"])[:64], _KINDS[row["kind"]], _text(row["text"]), _text(row["remedy"]))


def _text(value: object) -> str:
    """Text of a scene for our own records: bounded, and without lone surrogates that no encoding takes."""
    return str(value).encode("utf-8", "replace").decode()[: limits.REASON_CHARS_MAX]
