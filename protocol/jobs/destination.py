"""Where finished frames go besides the mesh's own stores: `ROOT:folder`, an output root that some peers have configured.

Decides how the text is read and confined. Refuses to know which peer has which root, and where it lies there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from protocol.errors import Invalid
from protocol.jobs.manifest import clean_name

ROOT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z", re.ASCII)
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.ASCII)


@dataclass(frozen=True, slots=True)
class Destination:
    """A root's name and a folder below it: relative, confined, '' for the root itself."""

    root: str
    folder: str


def parse_destination(text: str) -> Destination:
    """Read `ROOT:folder` or `ROOT:`. Raises `Invalid` (`bad_destination`) with a form that works."""
    if _ADDRESS.match(text):
        raise _bad(text, "a store is an output root of a peer (peerd --output-root NAME=s3://bucket/folder), called by its name")
    root, colon, folder = text.partition(":")
    if not colon or not ROOT_NAME.match(root):
        raise _bad(text, "it must be the name of an output root, a colon and a folder")
    if not folder:
        return Destination(root, "")
    try:
        return Destination(root, clean_name(folder))
    except Invalid:
        raise _bad(text, "the folder must be relative and stay below the root") from None


def _bad(text: str, reason: str) -> Invalid:
    return Invalid("bad_destination", f"destination: {text[:80]!r}: {reason}; write for example farm:shots/010")
