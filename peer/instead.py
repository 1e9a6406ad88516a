"""A line that works instead, for a peer that could not start: the same command with another port or another folder.

Decides what is changed in the command line. Refuses to know how a peer starts, and changes nothing itself.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path

from peer.net.sockets import bind_datagram, bind_stream
from peer.settings import Settings
from peer.store.errors import FolderTaken, FolderUnwritable
from protocol.errors import Refusal, Unavailable


def line_that_works(error: Exception, settings: Settings, argv: Sequence[str], *, home: Path) -> str | None:
    """The command line to type instead, or None where another port or folder would not help."""
    match error:
        case FolderTaken():
            changed = with_value(argv, "--data-dir", str(beside(settings.data_dir)))
        case FolderUnwritable():
            changed = with_value(argv, "--data-dir", str(beside(home / "rendermesh")))
        case Unavailable(code="port_taken" | "address_unusable"):
            changed = list(argv)
        case _:
            return None
    if not is_free(settings.bind, settings.port):
        changed = with_value(changed, "--port", "0")
    if settings.mesh_port is not None and not is_free(settings.bind, settings.mesh_port):
        changed = with_value(changed, "--mesh-port", "0")
    return None if changed == list(argv) else shlex.join(["peerd", *changed])


def with_value(argv: Sequence[str], flag: str, value: str) -> list[str]:
    """The arguments with `flag` set to `value` once, in its old place or at the end."""
    words: list[str] = []
    at: int | None = None
    rest = iter(argv)
    for word in rest:
        if word == flag or word.startswith(flag + "="):
            at = len(words) if at is None else at
            if word == flag:
                next(rest, None)
        else:
            words.append(word)
    end = len(words) if at is None else at
    return [*words[:end], flag, value, *words[end:]]


def beside(folder: Path) -> Path:
    """A folder of nearly that name that is not there yet."""
    return next(path for number in itertools.count(2) if not (path := folder.with_name(f"{folder.name}-{number}")).exists())


def is_free(host: str, port: int) -> bool:
    """Whether both TCP and UDP can be bound there now. Port 0 is always free."""
    try:
        for bind in (bind_stream, bind_datagram):
            bind(host, port).close()
    except Refusal:
        return False
    return True
