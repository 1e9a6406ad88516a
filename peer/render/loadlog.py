"""What Blender only prints while it opens a scene: engines and colour spaces that it does not have, and took another for.

The scene's data say nothing of it any more: they hold the replacement. Patterns are those of 3.4 and of 5.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from protocol import limits
from protocol.jobs.results import Inspection, SceneWarning
from protocol.jobs.spec import RenderSettings

_ENGINE: Final = re.compile(r"Engine '([^']*)' not available for scene '(.*)' \(an add-on")
_COLOR: Final = re.compile(
    r"olou?r[ _]management[^\n]*?[:|]\s*(?:WARNING\s+)?([^\n]*\"[^\"\n]*\"[^\"\n]* not found, (?:setting|will use)[^\n]*)"
)
_FALLBACK: Final = re.compile(r"(?:[Cc]olor management: using fallback mode|OCIO_CONFIG[^\n]*not found)[^\n]*")


def with_findings(inspection: Inspection, log: str, settings: RenderSettings) -> Inspection:
    """The inspection with what `log`, printed while the scene opened, adds to it: first of all, since it changes every pixel."""
    if inspection.error is not None:
        return inspection
    found = (*_engines(inspection, log, settings), *_colors(log))
    fresh = tuple(dict.fromkeys(found))
    return replace(inspection, warnings=(*fresh, *inspection.warnings)[: limits.WARNINGS_PER_SCENE_MAX])


def _engines(inspection: Inspection, log: str, settings: RenderSettings) -> Iterator[SceneWarning]:
    if settings.engine is not None:
        return
    for engine, scene in _ENGINE.findall(log):
        if scene == inspection.scene:
            text = f"the scene renders with {engine[:60]!r}, which no Blender here has; it would be drawn by {inspection.engine}"
            yield SceneWarning("unknown_engine", "picture", text, "choose one with engine=, such as CYCLES")


def _colors(log: str) -> Iterator[SceneWarning]:
    remedy = "send the OCIO configuration along and name it (the setting ocio), or save the scene with a view of Blender's own"
    for said in _COLOR.findall(log):
        text = f"a name of another OCIO configuration: {' '.join(said.split())}"
        yield SceneWarning("color_management", "picture", text[: limits.REASON_CHARS_MAX], remedy)
    for said in _FALLBACK.findall(log):
        text = f"this Blender finds no OCIO configuration: {' '.join(said.split())}"
        yield SceneWarning("color_management", "picture", text[: limits.REASON_CHARS_MAX], "install Blender whole on that peer")
