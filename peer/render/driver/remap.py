"""Making an opened scene find the files that were sent with it from outside its folder, as the job's path map says.

A path that leads to a file of the job's folder by itself stays as it is; so does one whose file was not sent, for the
inspection to name. Absolute paths are followed into the job's folder first: a file of the same name on this machine is
not the artist's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from peer.render.driver import pathmap, references
from peer.render.driver.blender import bpy
from peer.render.driver.pathmap import PathMap
from peer.render.driver.references import Reference
from peer.render.driver.refusal import Refused

ROUNDS_MAX = 64
"""A library that is found may bring further ones: so deep is a chain followed."""


def apply(tree: str) -> int:
    """Point the opened scene at the files below `tree`; how many paths were changed. Raises `Refused` for a bad map."""
    paths = read(tree)
    if paths is None:
        return 0
    guide = Guide(paths, Path(tree))
    changed = _libraries(guide)
    for reference in references.assets():
        there = guide.where(reference, reference.library)
        if there is not None:
            reference.point_at(str(there) + os.sep if reference.pick == "names" else str(there))
            changed += 1
    return changed


def read(tree: str) -> PathMap | None:
    """The map of a job's folder; None when it has none. Raises `Refused` (`scene`)."""
    path = Path(tree, pathmap.MAP_NAME)
    try:
        with path.open("rb") as file:
            return pathmap.from_json(file.read(pathmap.MAP_BYTES_MAX + 1))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except pathmap.BadMap as error:
        raise Refused("scene", f"the scene's {pathmap.MAP_NAME} cannot be followed: {error}") from None


class Guide:
    """Finds files of one job's folder by the paths that its .blend files hold."""

    def __init__(self, paths: PathMap, tree: Path) -> None:
        self._paths = paths
        self._tree = tree
        self._listed: dict[Path, dict[str, str]] = {}

    def where(self, reference: Reference, library: Any) -> Path | None:
        """Where a reference must point instead, None when it may stay."""
        beside = reference.raw[2:] if reference.raw.startswith("//") else None
        if beside is not None and self._is_there(self._folder(library) / beside, reference):
            return None
        place = pathmap.meant(reference.raw, self._artists_folder(library))
        if place is None:
            return None
        own = self._paths.own_rest(place)
        if own is not None:
            return _own(own)
        return self._sent(place, reference)

    def _sent(self, place: str, reference: Reference) -> Path | None:
        name = self._paths.name_of(place)
        if name is None:
            return None
        exact = self._tree / name
        if self._is_there(exact, reference):
            return exact
        if not pathmap.is_windows(self._paths.folder) and not pathmap.is_windows(place):
            return None
        found = self._any_case(name, reference)
        return found if found is not None and self._is_there(found, reference) else None

    def _is_there(self, path: Path, reference: Reference) -> bool:
        """Inside the job's folder, and no link out of it."""
        if not Path(os.path.normpath(path)).is_relative_to(self._tree):
            return False
        if reference.pick in ("tiles", "series"):
            return path.exists() or (path.parent.is_dir() and self._has_kin(path))
        return path.exists()

    def _has_kin(self, path: Path) -> bool:
        """Another tile or another frame of the same series."""
        series = pathmap.series_of(path.name)
        return series is not None and any(series.match(name) for name in self._entries(path.parent).values())

    def _any_case(self, name: str, reference: Reference) -> Path | None:
        """The file whose name differs in capitals only, as Windows would find it."""
        here = self._tree
        parts = name.split("/")
        for number, part in enumerate(parts):
            found = self._entries(here).get(part.casefold())
            if found is None and number == len(parts) - 1 and reference.pick in ("tiles", "series"):
                found = pathmap.respelt(part, self._entries(here).values())
            if found is None:
                return None
            here = here / found
        return here

    def _entries(self, folder: Path) -> dict[str, str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = {near.name.casefold(): near.name for near in sorted(folder.iterdir())}
            except OSError:
                self._listed[folder] = {}
        return self._listed[folder]

    def _folder(self, library: Any) -> Path:
        if library is None:
            return Path(bpy.data.filepath).parent
        return Path(os.path.normpath(bpy.path.abspath(library.filepath))).parent

    def _artists_folder(self, library: Any) -> str:
        """The artist's folder of the .blend that holds a reference, in its plain form."""
        relative = os.path.relpath(self._folder(library), self._tree).replace(os.sep, "/")
        if relative == ".." or relative.startswith("../"):
            return pathmap.joined(self._paths.folder, relative)
        return self._paths.place_of("" if relative == "." else relative)


def _libraries(guide: Guide) -> int:
    """Libraries first, and again after each that was found: it may have brought others, and the scene's data with it."""
    changed = 0
    tried: set[tuple[str, str]] = set()
    for _ in range(ROUNDS_MAX):
        lost = next((pair for one in references.libraries() if (pair := _new_home(guide, one, tried)) is not None), None)
        if lost is None:
            break
        reference, there = lost
        tried.add((reference.label, str(there)))
        reference.point_at(str(there))
        reference.owner.reload()
        changed += 1
    return changed


def _new_home(guide: Guide, reference: Reference, tried: set[tuple[str, str]]) -> tuple[Reference, Path] | None:
    for library in (None, reference.owner.parent):
        there = guide.where(reference, library)
        if there is not None and (reference.label, str(there)) not in tried:
            return reference, there
    return None


def _own(rest: str) -> Path | None:
    """The same file of the Blender that runs here."""
    for kind in ("LOCAL", "SYSTEM"):
        folder = bpy.utils.resource_path(kind)
        if folder and (Path(folder) / rest).exists():
            return Path(folder) / rest
    return None
