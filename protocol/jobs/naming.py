"""What a finished frame is called: the `output` template, made safe.

A template is the client's text, so it is never handed to `str.format`: only `{job}`, `{name}` and `{frame}` (with zeros, such
as `{frame:04d}`) mean something.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from string import Formatter
from typing import Final

from protocol.errors import Invalid
from protocol.ids import JobId
from protocol.jobs.manifest import clean_name
from protocol.jobs.results import Output

EXAMPLE: Final = "{job}_{frame:04d}"
_FRAME_FORMAT: Final = re.compile(r"(?:0?[1-9])?d?\Z", re.ASCII)
_UNSAFE: Final = re.compile(r"[^\w.-]+")
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,8}\Z", re.ASCII)
FILE_TYPES: Final = {
    "PNG": (".png", "image/png"),
    "JPEG": (".jpg", "image/jpeg"),
    "TIFF": (".tif", "image/tiff"),
    "WEBP": (".webp", "image/webp"),
    "OPEN_EXR": (".exr", "image/x-exr"),
    "OPEN_EXR_MULTILAYER": (".exr", "image/x-exr"),
}


def check_template(template: str) -> None:
    """Raises `Invalid` (`bad_output`) with a form that works."""
    used = {field for _, field, _ in _pieces(template)}
    if "frame" not in used:
        raise _bad(template, "it must hold {frame}, or all frames had one name")
    try:
        clean_name(expand(template, job="0" * 12, name="name", frame=1))
    except Invalid:
        raise _bad(template, "it must be a relative name that stays in its folder") from None


def expand(template: str, *, job: str, name: str, frame: int) -> str:
    """The name without its extension. Raises `Invalid` (`bad_output`)."""
    values = {"job": safe(name) or job, "name": safe(name) or job}
    out = []
    for text, field, spec in _pieces(template):
        out.append(text)
        if field is not None:
            out.append(format(frame, spec) if field == "frame" else values[field])
    return "".join(out)


def output_name(template: str, *, job: JobId, name: str, frame: int, output: Output, main: bool) -> str:
    """The file name of one output; those beside the main one carry their own name too."""
    base = expand(template, job=job[:12], name=name, frame=frame)
    suffix = extension(output)
    own = safe(PurePosixPath(output.name).stem) or "output"
    return f"{base}{suffix}" if main else f"{base}.{safe(output.role) or 'output'}.{own}{suffix}"


def output_names(template: str, *, job: JobId, name: str, frame: int, outputs: tuple[Output, ...]) -> list[str]:
    """Names of all outputs of a frame, main first, every one different, also where a file system ignores case."""
    names: list[str] = []
    taken: set[str] = set()
    for index, output in enumerate(outputs):
        made = output_name(template, job=job, name=name, frame=frame, output=output, main=index == 0)
        path, number = PurePosixPath(made), index
        while made.casefold() in taken:
            made = str(path.with_name(f"{path.stem}.{number}{path.suffix}"))
            number += len(outputs)
        taken.add(made.casefold())
        names.append(made)
    return names


def extension(output: Output) -> str:
    """The suffix of the renderer's own file where it is a plain one, else the format's."""
    suffix = _SUFFIX.search(output.name)
    return suffix[0].lower() if suffix else FILE_TYPES.get(output.format, (".bin", ""))[0]


def safe(text: str) -> str:
    """A piece of a file name: letters, digits, `.`, `_`, `-`; never hidden and never empty where `text` had any of them."""
    return _UNSAFE.sub("_", text).strip("._")[:100]


def _pieces(template: str) -> list[tuple[str, str | None, str]]:
    try:
        pieces = list(Formatter().parse(template))
    except ValueError:
        raise _bad(template, "its braces do not match") from None
    for _, field, spec, conversion in pieces:
        if field is None:
            continue
        if field not in ("job", "name", "frame") or conversion:
            raise _bad(template, "only {job}, {name} and {frame} are filled in")
        if not (_FRAME_FORMAT if field == "frame" else re.compile(r"\Z")).match(spec or ""):
            raise _bad(template, "only {frame} takes a width, such as {frame:04d}")
    return [(text, field, spec or "") for text, field, spec, _ in pieces]


def _bad(template: str, reason: str) -> Invalid:
    return Invalid("bad_output", f"output: {template[:80]!r}: {reason}; write for example {EXAMPLE}")
