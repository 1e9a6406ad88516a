"""Messages about the mesh's keys, over streams only: what one peer holds, and a key itself.

Plain rows; `wire.key_rows` turns them into bytes and back. Refuses to know what they lead to: that is `protocol.keyring`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.ids import PeerId


@dataclass(frozen=True, slots=True)
class KeysHeld:
    """What the sender holds, without a secret: fingerprints of its keys (sorted), the register (counter, fingerprint) that says
    which one seals, and what was removed. It is an order and an acknowledgement at once: each side takes what is newer.

    `reply`: answer with yours, whether or not they differ."""

    keys: tuple[str, ...]
    used: tuple[int, str]
    removed: tuple[str, ...]
    reply: bool


@dataclass(frozen=True, slots=True)
class KeyGiven:
    """A key of 32 bytes for the receiver's ring. `audience`: who else may be given it (None: everybody in the mesh)."""

    key: bytes = field(repr=False)
    audience: tuple[PeerId, ...] | None


KeyMessage = KeysHeld | KeyGiven
