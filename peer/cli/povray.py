"""What travels with a scene of POV-Ray: the files that its text names, found as POV-Ray would find them.

Decides names. Refuses to start anything: names that a scene puts together are told, and must be given by hand.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from peer.cli import bounds
from peer.cli.failures import CliError, Exit
from peer.cli.multipart import FilePart
from peer.cli.packing import Package
from peer.render.povray.ini import read_ini
from peer.render.povray.references import INI_BYTES_MAX, Use, Walk, finder, read_text, walk

SUFFIXES: Final = (".pov", ".ini")
SHARES: Final = (Path("/usr/share"), Path("/usr/local/share"))


def is_povray(scene: Path) -> bool:
    """By its name: the text of a scene has no mark."""
    return scene.suffix.lower() in SUFFIXES


def pack(scene: Path, shares: Sequence[Path] = SHARES) -> Package:
    """The files of a .pov or .ini, and what is missing. Raises `CliError` when it is more than one job may have."""
    folder = Path(os.path.normpath(scene.parent.absolute()))
    inis = sorted(folder.glob("*.ini")) if scene.suffix.lower() == ".pov" else [folder / scene.name]
    read = [read_ini(read_text(path, INI_BYTES_MAX)) for path in inis]
    libraries = [Path(os.path.normpath(folder / name)) for one in read for name in one.libraries]
    own = [place for share in shares for home in share.glob("povray*") for place in (home, home / "include")]
    package = Package(files={path.name: FilePart("asset", path.name, path) for path in inis if path.name != scene.name})
    source = folder / (scene.name if scene.suffix.lower() == ".pov" else read[0].source or ".")
    if not source.is_file():
        package.missing.append(f"the scene that {scene.name} names: {read[0].source or '(none)'}")
        return package
    find = finder([folder, source.parent, *libraries, *own])
    seen = walk(source, find, lambda path: not any(path.is_relative_to(place) for place in own))
    if source.name != scene.name:
        seen.found[source] = Use("include", source.name)
    _take(package, seen, [folder, source.parent, *libraries], own)
    package.missing += [_missing(use, bool(own)) for use in seen.missing]
    if seen.computed:
        package.missing.append(f"perhaps: {seen.computed} names are put together by the scene; name those files with --asset")
    if len(package.files) >= bounds.ASSETS_MAX:
        raise CliError(
            Exit.USAGE, f"the scene uses {len(package.files):,} files; a job has at most {bounds.ASSETS_MAX:,}",
            remedy="send only a part: --no-assets and --asset",
        )  # fmt: skip
    return package


def _take(package: Package, seen: Walk, folders: Sequence[Path], own: Sequence[Path]) -> None:
    """Each file under its place below the folder in which it was found; POV-Ray's own stay."""
    for found, use in seen.found.items():
        path = Path(os.path.normpath(found))
        if any(path.is_relative_to(place) for place in own):
            continue
        folder = next((one for one in folders if path.is_relative_to(one)), None)
        if folder is None:
            package.missing.append(f"{use.kind} {use.name!r} (lies outside the scene's folder: name it relative to that)")
        else:
            name = path.relative_to(folder).as_posix()
            package.files.setdefault(name, FilePart("asset", name, path))


def _missing(use: Use, has_own: bool) -> str:
    return f"{use.kind} {use.name!r}" + ("" if has_own else " (unless POV-Ray brings it along: there is none here to ask)")
