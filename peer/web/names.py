"""How a finished frame is announced to browsers: its media type and the name to save it under. Pure.

What it is called is decided by `protocol.jobs.naming`.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import quote

from protocol.jobs.naming import EXAMPLE, FILE_TYPES, check_template, expand, extension, output_name, output_names, safe
from protocol.jobs.results import Output

__all__ = [
    "EXAMPLE",
    "check_template",
    "content_type",
    "disposition",
    "expand",
    "extension",
    "output_name",
    "output_names",
    "safe",
]


def content_type(output: Output) -> str:
    """The media type; what is not known is bytes, and no browser guesses."""
    return FILE_TYPES.get(output.format, ("", "application/octet-stream"))[1]


def disposition(name: str) -> str:
    """Content-Disposition (RFC 6266) for a download of this name; folders are left out."""
    file = PurePosixPath(name).name
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", file)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(file, safe='')}"
