"""Where an output root may be, as people write it: a folder, or a bucket of an object store.

Refuses to look whether it is there.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from peer.paths import expanded
from protocol import limits
from protocol.jobs.destination import STORES

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.ASCII)
_EXAMPLE: Final = "write for example farm=/mnt/farm or farm=s3://bucket/folder"


def check_place(text: str) -> None:
    """Whether a root may be there: a whole path, `file:///path`, or a bucket. Raises `ValueError` with a form that works."""
    if not _URL.match(text):
        if not expanded(text).is_absolute():
            raise ValueError(f"{text[:80]!r} is no whole path; {_EXAMPLE}")
        return
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(f"{text[:80]!r} is no address; {_EXAMPLE}") from None
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return
    if parts.scheme not in STORES or not parts.netloc:
        raise ValueError(f"{parts.scheme}:// is no place for frames; {_EXAMPLE}, with {', '.join(STORES)} or file")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an address holds bucket and folder alone; keys come from the environment (AWS_ACCESS_KEY_ID, ...)")
    if len(text) > limits.ROOT_CHARS_MAX:
        raise ValueError(f"an address of {len(text)} characters; at most {limits.ROOT_CHARS_MAX}")
    if find_spec("obstore") is None:
        raise ValueError("object stores need an extra: pip install 'rendermesh[obstore]'")


def folder_of(text: str) -> Path | None:
    """The folder that a checked text means, None for a store."""
    if not _URL.match(text):
        return expanded(text)
    parts = urlsplit(text)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None
