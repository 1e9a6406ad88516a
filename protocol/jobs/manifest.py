"""Which files make a scene: names as the artist laid them out, contents by digest."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

import blake3
import msgpack

from protocol import limits
from protocol.errors import Invalid
from protocol.ids import Digest


@dataclass(frozen=True, slots=True, order=True)
class ManifestEntry:
    """One file: `name` is relative, normalised, with forward slashes; `size` in bytes."""

    name: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A scene and the files beside it. Invariant: names are unique and confined; `main` is one of them."""

    main: str
    files: tuple[ManifestEntry, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files)

    def digest(self) -> Digest:
        """BLAKE3-256 over the canonical msgpack of main and the sorted entries."""
        rows = [self.main, [[entry.name, entry.digest, entry.size] for entry in sorted(self.files)]]
        return Digest(blake3.blake3(msgpack.packb(rows)).hexdigest())


EMPTY = Manifest(main="", files=())  # a job without a scene (renderer null)


def make_manifest(main: str, files: list[ManifestEntry]) -> Manifest:
    """Build a manifest. Raises `Invalid` (`bad_manifest`) for duplicates, a missing main, too many files or bytes."""
    if len(files) > limits.FILES_PER_MANIFEST_MAX:
        raise Invalid("bad_manifest", f"{len(files):,} files; a scene holds at most {limits.FILES_PER_MANIFEST_MAX:,}")
    if sum(entry.size for entry in files) > limits.SCENE_BYTES_MAX:
        raise Invalid("bad_manifest", f"the files have more than {limits.SCENE_BYTES_MAX:,} bytes together")
    names = [entry.name for entry in files]
    if len(set(names)) != len(names):
        doubled = sorted(name for name in set(names) if names.count(name) > 1)[0]
        raise Invalid("bad_manifest", f"the file name {doubled!r} was sent twice; names below the scene's folder must differ")
    if main not in names:
        raise Invalid("bad_manifest", f"the main scene {main!r} is not among the files")
    return Manifest(main, tuple(sorted(files)))


def check_side_by_side(names: Iterable[str]) -> None:
    """Raises `Invalid` (`bad_manifest`) for two names that some file system takes for one, and for a file that is a folder too.

    Canonical caseless matching: Unicode 15.0, section 3.13, D145."""
    # what lies in a folder comes right after the folder's own name
    known = sorted((_caseless(name).replace("/", "\0"), name) for name in names)
    for (one, name), (two, other) in pairwise(known):
        if one == two:
            alike = "occurs twice" if other == name else f"and {other!r} are one and the same on some systems"
            raise Invalid("bad_manifest", f"the file name {name!r} {alike}; names below the scene's folder must differ")
        if two.startswith(one + "\0"):
            raise Invalid("bad_manifest", f"{name!r} is a file, and a folder in {other!r}")


def _caseless(name: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def clean_name(text: str) -> str:
    """A relative name, normalised and confined below the scene's folder.

    Raises `Invalid` (`bad_file_name`) for absolute names, drive letters, `..`, empty parts, control characters.
    """
    name = text.replace("\\", "/")
    parts = PurePosixPath(name).parts
    wrong = (
        not parts
        or name.startswith("/")
        or ":" in parts[0]
        or any(part in ("..", ".") for part in parts)
        or any(ord(char) < 32 or ord(char) == 127 for char in name)
        or len(name.encode("utf-8", "surrogatepass")) > limits.FILE_NAME_BYTES_MAX
    )
    if wrong:
        raise Invalid("bad_file_name", f"the file name {text[:80]!r} must be relative and stay below the scene's folder")
    return "/".join(parts)
