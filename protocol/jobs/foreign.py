"""Texts about jobs from another process or a disk: each is one that its reader takes, so that nobody who folds facts or takes
a lease needs to expect anything else.

Every function takes whatever msgpack unpacked and raises `Malformed`, nothing else. Refuses to know where a text stands.
"""

from __future__ import annotations

from protocol import limits
from protocol.errors import Invalid, Malformed
from protocol.jobs.frames import check_frames
from protocol.jobs.manifest import clean_name
from protocol.jobs.spec import read_spec

PRIORITY_MAX = 100


def bounded(value: object, chars_max: int) -> str:
    """Text of at most `chars_max` characters."""
    if type(value) is not str or len(value) > chars_max:
        raise Malformed(f"expected text of at most {chars_max:,} characters")
    return value


def file_name(value: object) -> str:
    """A relative name in its plain form: nobody who writes files needs to expect anything else."""
    text = bounded(value, limits.FILE_NAME_BYTES_MAX)
    try:
        clean = clean_name(text)
    except Invalid as fault:
        raise Malformed(fault.message) from fault
    if clean != text:
        raise Malformed(f"the file name {text[:80]!r} is not in its plain form")
    return text


def frames_text(value: object) -> str:
    """Text that `parse_frames` reads."""
    text = bounded(value, limits.FRAMES_TEXT_CHARS_MAX)
    try:
        check_frames(text)
    except Invalid as fault:
        raise Malformed(fault.message) from fault
    return text


def spec_text(value: object) -> str:
    """Text that `read_spec` reads. A newer peer's field that is unknown here is refused: without it the job were another."""
    text = bounded(value, limits.SPEC_CHARS_MAX)
    read_spec(text)
    return text


def register_value(register: str, value: object) -> str:
    """What a register of a job may hold: a priority is a number, the others are any text."""
    text = bounded(value, limits.CONTROL_CHARS_MAX)
    if register == "priority" and not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= PRIORITY_MAX):
        raise Malformed(f"expected a priority from 0 to {PRIORITY_MAX}")
    return text
