"""What travels with a scene: its files under their names, and the map that tells a peer where they lay.

Decides names: what lies below the scene's folder keeps its place there, what lies elsewhere goes below `.rendermesh/files/`.
Refuses to know who finds out what a scene uses.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from peer.cli import bounds
from peer.cli.failures import CliError, Exit
from peer.cli.multipart import FilePart
from peer.cli.tracing import Reference, Traced
from peer.render.driver import pathmap
from peer.render.driver.pathmap import PathMap

PathRule = tuple[str, Path]
"""What lay below the place `rule[0]` on the artist's machine lies below the folder `rule[1]` here."""

_NOT_MEANT_TO_TRAVEL: Final = (pathmap.RESERVED + "/",)


@dataclass(slots=True)
class Package:
    """`files` without the scene itself, by name; `missing` are texts for people."""

    files: dict[str, FilePart] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def is_outer(name: str) -> bool:
    """Whether a file that was sent under `name` lay outside of the scene's folder."""
    return name.startswith(pathmap.FILES_NAME + "/")


def parse_rule(text: str) -> PathRule:
    """`C:\\shows=/mnt/shows` as a rule. Raises `CliError` (usage)."""
    place, equals, here = text.partition("=")
    found = pathmap.plain(place)
    if not equals or found is None or not here:
        raise CliError(
            Exit.USAGE, f"cannot read --map {text!r}", remedy="write FROM=TO, for example --map 'C:\\shows=/mnt/shows'"
        )
    if not os.path.isdir(here):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        raise CliError(Exit.USAGE, f"the folder {here!r} of --map {text!r} is not there", remedy="check the path")
    return found, Path(os.path.normpath(Path(here).absolute()))


class Packer:
    """Gathers the files of one scene. `more()` names libraries that must be asked about as well."""

    def __init__(self, scene: Path, rules: Sequence[PathRule] = ()) -> None:
        self._scene = Path(os.path.normpath(scene.absolute()))
        self._rules = sorted(rules, key=lambda rule: -len(rule[0]))
        self._files: dict[Path, None] = {}  # in the order in which they were found
        self._missing: dict[str, None] = {}
        self._own: list[str] = []
        self._own_used: dict[str, None] = {}
        self._strange = False  # whether a path is not relative to a folder below the scene's
        self._linked: list[Path] = []
        self._bakes(self._scene)

    def add(self, traced: Traced) -> None:
        """Take in what the programs have found about one .blend."""
        self._own += [place for folder in traced.own if (place := pathmap.plain(folder)) is not None]
        for reference in traced.references or ():
            self._add_reference(reference)
        for path in traced.paths:
            self._add_path(path, follow=traced.references is None)
        if traced.references is None:
            self._strange = True
            for path in traced.lost:
                self._add_lost(path)

    def more(self) -> list[Path]:
        """Libraries found since the last call that were not looked into yet."""
        found, self._linked = self._linked, []
        return found

    def package(self) -> Package:
        """Everything found, under its names. Raises `CliError` when it is more than one job may have."""
        files = [path for path in self._files if path != self._scene]
        outer = [path for path in files if not path.is_relative_to(self._scene.parent)]
        paths = self._map(outer)
        package = Package(missing=list(self._missing))
        for path in files:
            name = paths.name_of(_place(path))
            assert name is not None, "the roots were made for it"
            if not name.startswith(_NOT_MEANT_TO_TRAVEL) or path in outer:
                package.files[name] = FilePart("asset", name, path)
        if outer or self._own_used or (self._strange and files):
            name = pathmap.MAP_NAME
            package.files[name] = FilePart("asset", name, Path(name), pathmap.to_json(paths))
        if len(package.files) >= bounds.ASSETS_MAX:
            raise CliError(
                Exit.USAGE, f"the scene uses {len(package.files):,} files; a job has at most {bounds.ASSETS_MAX:,}",
                remedy="pack what it can hold into the .blend, or send only a part: --no-assets and --asset",
            )  # fmt: skip
        return package

    def _add_reference(self, reference: Reference) -> None:
        folder = _place(Path(reference.folder))
        place = pathmap.meant(reference.raw, folder)
        if place is None:
            self._lost(reference)
            return
        own = next((root for root in self._own if pathmap.below(place, root) is not None), None)
        if own is not None:
            self._own_used[own] = None
            return
        self._strange |= not reference.raw.startswith("//") or "\\" in reference.raw
        here = self._here(place)
        if here is not None and reference.pick == "folder" and self._is_too_much(here):
            self._refuse_folder(reference, here)
            return
        found = [] if here is None else list(_picked(here, reference))
        for path in found:
            self._add_file(path)
            if reference.kind == "library":
                self._bakes(path)
                if pathmap.plain(str(path)) != place:
                    self._linked.append(path)
        if not found and reference.needed:
            self._lost(reference)

    def _add_lost(self, text: str) -> None:
        place = pathmap.plain(text)
        here = self._here(place) if place is not None else None
        if here is not None and here.is_file():
            self._add_file(here)
        else:
            self._missing[f"{text} (no Blender is here to say what it is)"] = None

    def _add_path(self, text: str, *, follow: bool) -> None:
        place = pathmap.plain(text)
        if place is None or any(pathmap.below(place, root) is not None for root in self._own):
            return
        path = Path(place)
        if path.is_file():
            self._add_file(path)
            if path.suffix == ".blend":
                self._bakes(path)
                self._linked += [path] if follow else []

    def _add_file(self, path: Path) -> None:
        self._files[path] = None
        if path.suffix == ".osl" and path.with_suffix(".oso").is_file():
            self._files[path.with_suffix(".oso")] = None

    def _lost(self, reference: Reference) -> None:
        self._missing[f"{reference.kind} {reference.label!r}: {reference.raw}"] = None

    def _is_too_much(self, folder: Path) -> bool:
        """No cache is the folder of the scene, a home, or above them: nobody means to send all that."""
        whole = os.path.realpath(folder)
        return any(Path(os.path.realpath(one)).is_relative_to(whole) for one in (self._scene.parent, Path.home()))

    def _refuse_folder(self, reference: Reference, folder: Path) -> None:
        if reference.needed:
            why = f"the whole folder {folder} is not sent; name what is needed with --asset"
            self._missing[f"{reference.kind} {reference.label!r}: {reference.raw} ({why})"] = None

    def _bakes(self, blend: Path) -> None:
        """Simulations that Blender has baked to the disk lie beside the .blend, in a folder that is named after it."""
        for path in _below(blend.with_name(f"blendcache_{blend.stem}")):
            self._files[path] = None

    def _here(self, place: str) -> Path | None:
        """Where a place of the artist's machine is on this one."""
        for root, folder in self._rules:
            rest = pathmap.below(place, root)
            if rest is not None:
                return _any_case(folder, rest) if pathmap.is_windows(root) else folder / rest
        if pathmap.is_windows(place) and os.name != "nt":
            return None
        return Path(place)

    def _map(self, outer: Sequence[Path]) -> PathMap:
        drives: dict[str, list[str]] = {}
        for path in outer:
            drives.setdefault(pathmap.drive_of(_place(path)), []).append(_place(path.parent))
        roots = [(pathmap.common_root(places), f"{pathmap.FILES_NAME}/{number}") for number, places in enumerate(drives.values())]
        folder = _place(self._scene.parent)
        return PathMap(folder, (*roots, *self._aliases(folder, roots)), tuple(self._own_used))

    def _aliases(self, folder: str, roots: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """The rules once more, as places of the artist's machine that lead to the same names."""
        for root, name in ((folder, ""), *roots):
            for place, here in self._rules:
                lower, upper = pathmap.below(_place(here), root), pathmap.below(root, _place(here))
                if lower is not None:
                    yield place, "/".join(part for part in (name, lower) if part)
                elif upper is not None:
                    yield pathmap.joined(place, upper), name


def _place(path: Path) -> str:
    place = pathmap.plain(str(path))
    assert place is not None, "absolute paths only"
    return place


def _picked(here: Path, reference: Reference) -> Iterator[Path]:
    """The files that a reference stands for, of those that are there."""
    match reference.pick:
        case "folder":
            yield from _below(here)
        case "names":
            yield from (here / name for name in reference.names if (here / name).is_file())
        case "tiles" | "series":
            yield from _series(here)
        case _ if here.is_file():
            yield here


def _series(path: Path) -> Iterator[Path]:
    series = pathmap.series_of(path.name)
    if series is None:
        if path.is_file():
            yield path
    elif path.parent.is_dir():
        yield from (near for near in sorted(path.parent.iterdir()) if series.match(near.name) and near.is_file())


def _below(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        files = (path for path in folder.rglob("*") if path.is_file())
        yield from sorted(islice(files, bounds.ASSETS_MAX))  # so many are refused


def _any_case(folder: Path, rest: str) -> Path:
    """The file as Windows would find it: by its name in any case. The last part may be a pattern."""
    parts = rest.split("/") if rest else []
    for number, part in enumerate(parts, 1):
        if not (folder / part).exists() and folder.is_dir():
            names = sorted(near.name for near in folder.iterdir())
            alike = next((name for name in names if name.casefold() == part.casefold()), None)
            if alike is None and number == len(parts):
                alike = pathmap.respelt(part, names)
            part = alike or part
        folder = folder / part
    return folder
