"""Series of numbered files: which ones the scene's frames need, by Blender's own rules, and whether they are there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

FRAMES_MAX = 100_000
_DIGITS = re.compile(r"(\d+)(\D*)\Z")

Number = Callable[[int], "int | None"]
Hole = tuple[str, str, Path]  # name of the data-block, path as the artist wrote it, the first file that is not there


def holes(
    scene: Any, trees: Iterable[tuple[Any, Any]], volumes: Iterable[Any], absolute: Callable[[str, Any], Path]
) -> Iterator[Hole]:
    """Series that nodes of `trees` (each with its library) and `volumes` show, of which there are files, and not all that the
    frames of `scene` need."""
    frames = range(scene.frame_start, scene.frame_end + 1, max(1, scene.frame_step))[:FRAMES_MAX]
    for image, number in _image_users(trees):
        if not image.packed_files:
            yield from _hole(image.name, image.filepath, absolute(image.filepath, image.library), frames, number)
    for volume in volumes:
        if volume.is_sequence and volume.filepath:
            yield from _hole(
                volume.name, volume.filepath, absolute(volume.filepath, volume.library), frames, volume_number(volume)
            )


def image_number(user: Any, *, waits: bool = False) -> Number:
    """Which file an image user shows at a frame; None for none, as before the first one where it `waits`."""
    length, start, offset, cyclic = user.frame_duration, user.frame_start, user.frame_offset, user.use_cyclic

    def number(frame: int) -> int | None:
        at = frame - start + 1
        if length == 0 or (waits and at < 1 and not cyclic):
            return None
        if cyclic:
            at = at % length or length
        return int(max(0, min(at, length)) + offset)

    return number


def volume_number(volume: Any) -> Number:
    """Which file a volume shows at a frame; None for none, which is no hole."""
    length, start, offset, mode = volume.frame_duration, volume.frame_start, volume.frame_offset, volume.sequence_mode

    def number(frame: int) -> int | None:
        at = frame - start + 1
        if length == 0 or (mode == "CLIP" and not 1 <= at <= length):
            return None
        if mode == "REPEAT":
            at = at % length or length
        elif mode == "PING_PONG":
            at = _bounced(at, length)
        return int(max(1, min(at, length)) + offset)

    return number


def _bounced(at: int, length: int) -> int:
    """1, 2, ..., length, length - 1, ..., 2, 1, 2, ..."""
    turn = max(1, 2 * length - 2)
    way = (at - 1) % turn
    return way + 1 if way < length else turn - way + 1


def _hole(name: str, raw: str, path: Path, frames: Iterable[int], number: Number) -> Iterator[Hole]:
    digits = _DIGITS.search(path.name)
    if digits is None or not path.parent.is_dir():
        return
    head, width, tail = path.name[: digits.start()], len(digits[1]), digits[2]
    there = {entry.name for entry in path.parent.iterdir()}
    if not any(entry.startswith(head) and entry.endswith(tail) for entry in there):
        return  # nothing of it is there: that is another finding
    for wanted in dict.fromkeys(map(number, frames)):
        if wanted is not None and f"{head}{wanted:0{width}}{tail}" not in there:
            yield name, raw, path.with_name(f"{head}{wanted:0{width}}{tail}")
            return


def _image_users(trees: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Number]]:
    """Every image sequence with its files by frame, as a texture node's user picks them or a compositor node itself: that one
    shows nothing before it begins."""
    for tree, _ in trees:
        for node in tree.nodes:
            image = getattr(node, "image", None)
            user = getattr(node, "image_user", node)
            if image is None or image.source != "SEQUENCE" or not hasattr(user, "frame_duration") or node.mute:
                continue
            if getattr(user, "use_auto_refresh", True):
                yield image, image_number(user, waits=user is node)
