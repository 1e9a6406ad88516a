"""The first admin key of a mesh: made once, by one peer, into a file of its own that only its account can read.

Decides which peer makes it and when. A peer that alone can be there (nobody to join) makes it at once; one that may find others
first looks whether their mesh has keys already. When several start together, the first by id makes it. After its `patience_s`
a peer stops waiting for the others: should they turn out to have a key after all, there are two,
each on the disk of a member of the mesh, which is no weaker than one. Shows the file's path and never what is in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import structlog

from peer.access import NewKey, draw_key, key_of
from peer.net.secretfile import make_once, refuse_if_open
from protocol.access.keys import KeyRecord, parse_key
from protocol.access.roles import Role
from protocol.errors import Conflict, Invalid, Unavailable
from protocol.ids import PeerId

ADMIN_KEY_FILE: Final = "admin.key"
POLL_S: Final = 0.05
RETRY_S: Final = 1.0
_log = structlog.get_logger("rendermesh")


@dataclass(frozen=True, slots=True)
class Situation:
    """What a peer sees: how many keys, who is live (itself included), whether it has compared its keys with somebody's, and
    how long it waits for others (0: nobody can be there). `insists`: its operator wants another key, whatever there is."""

    me: PeerId
    keys: int
    live: Sequence[PeerId]
    synced: bool
    patience_s: float
    insists: bool = False


def verdict(seen: Situation, *, waited_s: float) -> Literal["make", "wait", "never"]:
    """What a peer without an admin key of its own does about it. A mesh that has had any key never gets one in this way,
    unless an operator on a peer's own account asks for it (who has the mesh key, and with it everything)."""
    if seen.insists:
        return "make"
    if seen.keys:
        return "never"
    if seen.patience_s <= 0 and len(seen.live) <= 1:
        return "make"
    if seen.synced and seen.me == min(seen.live, default=seen.me):
        return "make"
    return "make" if waited_s >= seen.patience_s else "wait"


class Register(Protocol):
    """See `peer.meshview.EngineMesh.register_key`."""

    def __call__(self, drawn: NewKey, *, name: str, role: Role) -> Awaitable[KeyRecord]: ...


async def ensure_admin_key(
    folder: Path, look: Callable[[], Situation], register: Register, *, wait_poll_s: float = POLL_S
) -> Path | None:
    """Wait for the verdict and act on it; the file's path, or None when this mesh has keys already."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while (said := verdict(look(), waited_s=loop.time() - began)) == "wait":  # noqa: ASYNC110 - machines wake nobody
        await asyncio.sleep(wait_poll_s)
    if said == "never":
        return None
    path = folder / ADMIN_KEY_FILE
    try:
        drawn = await asyncio.to_thread(load_or_draw, path)
    except (Invalid, OSError) as error:  # the peer goes on: its door is closed, and its log says why
        _log.error("admin_key_failed", path=str(path), reason=str(error))
        return None
    while look().insists or not look().keys:
        try:
            await register(drawn, name="admin", role="admin")
            break
        except Unavailable as error:  # the disk is full: the door stays closed until it is not
            _log.warning("admin_key_waits", reason=error.message)
            await asyncio.sleep(RETRY_S)
        except Conflict as error:
            _log.warning("admin_key_refused", reason=f"{error.message}, or remove {path} if its key was revoked")
            return None
    _log.info("admin_key_made", path=str(path))
    return path


def load_or_draw(path: Path) -> NewKey:
    """The key in `path` (0600), drawn when there is none. The file comes before the record: a crash in between leaves a
    file whose key is registered at the next start, never a record whose key nobody has.

    Raises `Invalid` (`admin_key_damaged`, `secret_file_open`), OSError when it cannot be written."""
    content = make_once(path, f"{draw_key().text}\n".encode("ascii"))
    refuse_if_open(path, forbidden_mode=0o077)
    parsed = parse_key(content.decode("ascii", "replace").strip())
    if parsed is None:
        raise Invalid("admin_key_damaged", f"{path} holds no key. Remove it and start this peer again: a new one is made.")
    return key_of(*parsed)
