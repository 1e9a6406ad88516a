"""One frame: the render call, its progress, its files.

Always `render(animation=True)` over one frame: `frame_set` with `write_still` would evaluate the viewport's graph besides. Only
frames below 0 are stills before 5.0, where an animation cannot begin there.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from peer.render.driver import outputs
from peer.render.driver.blender import VERSION, bpy
from peer.render.driver.channel import Channel
from peer.render.driver.opening import Opened
from peer.render.driver.refusal import Refused

_SAMPLE = re.compile(r"(?:Sample|Rendering) (\d+) ?/ ?(\d+)")
_REPORTS_APART_S = 0.1
_BY_ARGUMENT = "frame_start" in bpy.ops.render.render.get_rna_type().properties


class Reporter:
    """Turns Blender's own statistics of one command into progress reports, at most ten a second."""

    def __init__(self, channel: Channel, number: int) -> None:
        self._channel = channel
        self._number = number
        self._last = 0.0

    def layers(self, count: int) -> None:
        """Samples start again for each view layer; whoever computes a percentage has to know how many there are."""
        self._channel.send({"id": self._number, "event": "progress", "layers": count})

    def statistics(self, text: object) -> None:
        """Called by Blender 5 from whichever thread renders; before 5 it prints the same, and the log's reader sees it."""
        match = _SAMPLE.search(str(text))
        now = time.monotonic()
        if match is None or now - self._last < _REPORTS_APART_S:
            return
        self._last = now
        self._channel.send({"id": self._number, "event": "progress", "sample": int(match[1]), "of": int(match[2])})


def render(opened: Opened, frame: int, folder: str, reporter: Reporter) -> dict[str, Any]:
    """Render `frame` into `folder`; files, seconds inside Blender and device. Raises `Refused`."""
    scene = opened.scene
    target = Path(folder)
    outputs.redirect(scene, opened.nodes, target)
    reporter.layers(sum(bool(layer.use) for layer in scene.view_layers))
    began = time.perf_counter()
    with _Statistics(reporter):
        _call(scene, frame)
    seconds = time.perf_counter() - began
    return {"files": outputs.collect(scene, opened.nodes, frame, target), "seconds": seconds, "device": opened.device}


def _call(scene: Any, frame: int) -> None:
    named, arguments = scene.render.filepath, _arguments(scene, frame)
    try:
        answer = bpy.ops.render.render(scene=scene.name, **arguments)
    except RuntimeError as error:
        text = " ".join(str(error).split()).removeprefix("Error: ")
        raise Refused(_kind(text), f"frame {frame}: {text}") from None
    finally:
        scene.render.filepath = named
    if "FINISHED" not in answer:
        raise Refused("scene", f"frame {frame}: Blender gave up without saying why")


def _arguments(scene: Any, frame: int) -> dict[str, Any]:
    """How the render operator is called for one frame; sets in the scene what it has no argument for."""
    if _BY_ARGUMENT:
        return {"animation": True, "frame_start": frame, "frame_end": frame}
    if frame < 0:
        scene.frame_set(frame)
        scene.render.filepath = scene.render.frame_path(frame=frame).removesuffix(scene.render.file_extension)
        return {"write_still": True}
    scene.frame_start = scene.frame_end = frame
    return {"animation": True}


def _kind(text: str) -> str:
    """A full disk is not the scene's fault."""
    if "cannot save" in text or "No space left" in text:
        return "infrastructure"
    return "memory" if "out of memory" in text.lower() else "scene"


class _Statistics:
    """Listens to Blender's statistics while one frame renders, where this version offers them (`render_stats`)."""

    def __init__(self, reporter: Reporter) -> None:
        self._listen = lambda *arguments: reporter.statistics(arguments[0])
        self._handlers: list[Any] = bpy.app.handlers.render_stats if VERSION >= (5, 0, 0) else []

    def __enter__(self) -> None:
        self._handlers.append(self._listen)

    def __exit__(self, *_: object) -> None:
        if self._listen in self._handlers:
            self._handlers.remove(self._listen)
