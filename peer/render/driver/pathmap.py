"""Where files lay on the artist's machine, and where they lie in a job's folder: the map that travels with a packed scene.

Pure, and of the standard library alone: `peerctl` writes the map, a peer checks it, the driver follows it. Places of the
artist's machine are texts in one plain form (`plain`), since the peer may run another system.

A map says: the scene's folder was `folder`; what lay below the place `roots[n][0]` was sent below the name `roots[n][1]`;
what lies below a place of `own` belongs to Blender itself and was not sent.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

RESERVED = ".rendermesh"
"""The folder beside the scene that is ours; nothing of an artist's is sent under that name."""

MAP_NAME = f"{RESERVED}/paths.json"
FILES_NAME = f"{RESERVED}/files"
MAP_BYTES_MAX = 256 * 1024
ROOTS_MAX = 1_000
PLACE_CHARS_MAX = 4_096
VERSION = 1

_TOKENS = (("<UDIM>", r"\d{4}"), ("<UVTILE>", r"u\d+_v\d+"))
_DRIVE = re.compile(r"[A-Za-z]:(?=[\\/]|\Z)")


class BadMap(ValueError):
    """A map that cannot be followed; the text says why."""


@dataclass(frozen=True)
class PathMap:
    """See the module. Invariants: every place is plain; every name is plain and relative, and may be empty."""

    folder: str
    roots: tuple[tuple[str, str], ...] = ()
    own: tuple[str, ...] = ()

    def name_of(self, place: str) -> str | None:
        """Under which name of the job's folder a place is found if it was sent; None when no root holds it."""
        best: tuple[int, str] | None = None
        for root, name in ((self.folder, ""), *self.roots):
            rest = below(place, root)
            if rest is not None and (best is None or len(root) > best[0]):
                best = (len(root), posixpath.join(name, rest) if rest else name)
        return None if best is None else best[1]

    def place_of(self, name: str) -> str:
        """Where the file or folder `name` of the job's folder lay: the inverse of `name_of`."""
        for root, sent in self.roots:
            if sent and (name == sent or name.startswith(sent + "/")):
                return joined(root, name[len(sent) + 1 :])
        return joined(self.folder, name)

    def own_rest(self, place: str) -> str | None:
        """The rest of a place below one of Blender's own folders, None where it is not its own."""
        return next((rest for root in self.own if (rest := below(place, root)) is not None), None)


def is_windows(place: str) -> bool:
    """Whether a place is one of Windows: behind a drive's letter, or on a share."""
    return _DRIVE.match(place) is not None or place.startswith(("\\\\", "//"))


def plain(place: str) -> str | None:
    """An absolute place without `.`, `..` and doubled slashes, with forward slashes; None for one that is not absolute.

    `C:\\a\\..\\b` becomes `C:/b`, `\\\\server\\share\\a` becomes `//server/share/a`, `/a//b/` becomes `/a/b`.
    """
    drive = _DRIVE.match(place)
    if drive is not None:
        return drive[0].upper() + posixpath.normpath("/" + place[2:].replace("\\", "/").lstrip("/"))
    if place.startswith("\\\\"):
        return "/" + posixpath.normpath("/" + place.replace("\\", "/").lstrip("/"))
    if not place.startswith("/"):
        return None
    return posixpath.normpath("/" + place.lstrip("/"))


def joined(folder: str, relative: str) -> str:
    """The place that `relative` (slashes of either kind, `..` allowed) means in the plain place `folder`."""
    head, rest = _head(folder)
    return head + posixpath.normpath(posixpath.join("/" + rest, relative.replace("\\", "/").lstrip("/")))


def below(place: str, root: str) -> str | None:
    """The part of a plain place below a plain root, `` for the root itself, None outside. Windows does not tell cases apart."""
    same = str.casefold if is_windows(root) else str
    if same(place) == same(root):
        return ""
    edge = root if root.endswith("/") else root + "/"
    return place[len(edge) :] if same(place[: len(edge)]) == same(edge) else None


def meant(raw: str, folder: str) -> str | None:
    """The place that a path of a .blend in the plain place `folder` means; None for one that Blender could not find either.

    `//textures/a.png` is Blender's way to say: beside the file.
    """
    if raw.startswith("//"):
        return joined(folder, raw[2:])
    return plain(raw)


def common_root(places: Iterable[str]) -> str:
    """The deepest folder that holds all plain places of one drive, one share, or one POSIX tree (see `drive_of`)."""
    split = [_head(place) for place in places]
    return split[0][0] + posixpath.commonpath(["/" + rest for _, rest in split])


def drive_of(place: str) -> str:
    """`C:`, `//server/share` or an empty text: places of different ones have no folder in common."""
    return _head(place)[0].casefold()


def series_of(name: str) -> re.Pattern[str] | None:
    """What the names of all tiles or frames match of which `name` is one, or the pattern; None where it is a single file."""
    parts = _numbered(name)
    return None if parts is None else _series(parts)


def respelt(name: str, near: Iterable[str]) -> str | None:
    """`name`, a tile or frame or the pattern of some, in the capitals of the first of `near` that is one of them, if any."""
    parts = _numbered(name)
    if parts is None:
        return None
    series, (head, number, _, tail) = _series(parts, re.IGNORECASE), parts
    found = next((other for other in near if series.match(other)), None)
    return None if found is None else found[: len(head)] + number + found[len(found) - len(tail) :]


def _series(parts: tuple[str, str, str, str], flags: int = 0) -> re.Pattern[str]:
    head, _, numbers, tail = parts
    return re.compile(re.escape(head) + numbers + re.escape(tail) + r"\Z", flags)


def _numbered(name: str) -> tuple[str, str, str, str] | None:
    """(before the number, the number or its token, a pattern for all numbers, behind it); None for a single file's name."""
    for token, numbers in _TOKENS:
        if token in name:
            head, tail = name.split(token, 1)
            return head, token, numbers, tail
    stem, suffix = posixpath.splitext(name)
    digits = re.search(r"\d+(?=\D*\Z)", stem)
    return None if digits is None else (stem[: digits.start()], digits[0], r"\d+", stem[digits.end() :] + suffix)


def to_json(paths: PathMap) -> bytes:
    """The map as the file `MAP_NAME`."""
    rows: dict[str, Any] = {"version": VERSION, "folder": paths.folder, "roots": paths.roots, "own": paths.own}
    return json.dumps(rows, indent=1).encode()


def from_json(data: bytes) -> PathMap:
    """Read the file `MAP_NAME`, which may come from anybody. Raises `BadMap`."""
    if len(data) > MAP_BYTES_MAX:
        raise BadMap(f"it has more than {MAP_BYTES_MAX:,} bytes")
    try:
        rows = json.loads(data)
    except (ValueError, RecursionError):
        raise BadMap("it is not JSON") from None
    if not isinstance(rows, dict) or set(rows) - {"version", "folder", "roots", "own"}:
        raise BadMap("it must hold version, folder, roots and own, and nothing else")
    if rows.get("version") != VERSION or isinstance(rows["version"], bool):
        raise BadMap(f"its version must be {VERSION}")
    roots = [_root(row) for row in _rows(rows, "roots")]
    return PathMap(_place(rows.get("folder")), tuple(roots), tuple(_place(row) for row in _rows(rows, "own")))


def _rows(rows: dict[str, Any], key: str) -> Sequence[Any]:
    found = rows.get(key, [])
    if not isinstance(found, list) or len(found) > ROOTS_MAX:
        raise BadMap(f"{key} must be a list of at most {ROOTS_MAX:,}")
    return found


def _root(row: Any) -> tuple[str, str]:
    if not isinstance(row, list) or len(row) != 2 or not isinstance(row[1], str) or len(row[1]) > PLACE_CHARS_MAX:
        raise BadMap("a root must be [place, name]")
    place, name = _place(row[0]), row[1]
    tidy = name == "" or posixpath.normpath(name) == name
    if not tidy or name.startswith(("/", "..")) or name == "." or "\\" in name or not _printable(name):
        raise BadMap(f"the name {name[:80]!r} of a root must be relative and stay below the scene's folder")
    return place, name


def _place(value: Any) -> str:
    if not isinstance(value, str) or len(value) > PLACE_CHARS_MAX or not _printable(value):
        raise BadMap("a place must be a text without control characters")
    share = value.startswith("//")  # how `plain` itself writes one
    if plain(value.replace("/", "\\") if share else value) != value:
        raise BadMap(f"the place {value[:80]!r} is not absolute, or not in its plain form")
    return value


def _printable(text: str) -> bool:
    return not any(ord(char) < 32 or ord(char) == 127 or "\ud800" <= char <= "\udfff" for char in text)


def _head(place: str) -> tuple[str, str]:
    """(drive or share, the rest without its leading slash) of a plain place."""
    if _DRIVE.match(place):
        return place[:2], place[3:]
    if place.startswith("//"):
        parts = place[2:].split("/", 2)
        return "//" + "/".join(parts[:2]), parts[2] if len(parts) > 2 else ""
    return "", place.lstrip("/")
