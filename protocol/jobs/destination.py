"""Where finished frames go besides the mesh's own stores: `ROOT:folder`, an output root that some peers have configured, or
the address of a folder in an object store, which some peer's output root must hold.

Decides how the text is read and confined, and which root serves it. Refuses to know which peer has which root, and where it
lies there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from protocol.errors import Invalid
from protocol.jobs.manifest import clean_name

STORES: Final = ("s3", "az", "gs")
ROOT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z", re.ASCII)
_ADDRESS: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.ASCII)
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Destination:
    """A root's name, or a store's bucket (`s3://bucket`), and a folder below it: relative, confined, '' for the root itself."""

    root: str
    folder: str


def parse_destination(text: str) -> Destination:
    """Read `ROOT:folder`, `ROOT:` or `s3://bucket/folder`. Raises `Invalid` (`bad_destination`) with a form that works."""
    if _ADDRESS.match(text):
        return _parse_address(text)
    root, colon, folder = text.partition(":")
    if not colon or not ROOT_NAME.match(root):
        raise _bad(text, "it must be the name of an output root, a colon and a folder")
    return Destination(root, _confined(text, folder))


def advertised(roots: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """What a peer says of its output roots, given as (name, place): their names, and the addresses of those in a store."""
    known = list(roots)
    return tuple(sorted({name for name, _ in known} | {address(place) for _, place in known if is_store(place)}))


def is_store(place: str) -> bool:
    """Whether a root's place is the address of an object store."""
    match = _ADDRESS.match(place)
    return match is not None and match[1] in STORES


def address(place: str) -> str:
    """The address of a store as it is advertised and compared."""
    return place.rstrip("/")


def serving(roots: Iterable[str], root: str, folder: str) -> tuple[str, str] | None:
    """Which of the advertised `roots` holds the destination, and the folder below that one; the nearest, None for none."""
    if is_store(root):
        wanted = f"{root}/{folder}".rstrip("/")
        holding = [one for one in roots if is_store(one) and f"{wanted}/".startswith(f"{one}/")]
        nearest = max(holding, key=len, default=None)
        return None if nearest is None else (nearest, wanted[len(nearest) :].lstrip("/"))
    return (root, folder) if root in roots else None


def _parse_address(text: str) -> Destination:
    scheme, _, rest = text.partition("://")
    bucket, _, folder = rest.partition("/")
    if scheme not in STORES:
        raise _bad(text, f"{scheme}:// is no store for frames; there are {', '.join(STORES)}")
    if not _BUCKET.match(bucket) or "?" in folder or "#" in folder:
        raise _bad(text, "an address holds a bucket and a folder alone, as s3://bucket/shots/010")
    return Destination(f"{scheme}://{bucket}", _confined(text, folder.rstrip("/")))


def _confined(text: str, folder: str) -> str:
    if not folder:
        return ""
    try:
        return clean_name(folder)
    except Invalid:
        raise _bad(text, "the folder must be relative and stay below the root") from None


def _bad(text: str, reason: str) -> Invalid:
    return Invalid("bad_destination", f"destination: {text[:80]!r}: {reason}; write for example farm:shots/010")
