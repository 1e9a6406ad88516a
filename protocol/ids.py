"""Names of things, their text forms, and nothing else.

Every identifier is a lowercase hexadecimal string in memory and in JSON; `wire.codec` packs them to bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NewType

PeerId = NewType("PeerId", str)  # 64 hex: SHA-256 of the peer's public key (SubjectPublicKeyInfo, DER)
JobId = NewType("JobId", str)  # 32 hex: BLAKE3 of submitter, idempotency key, fields as sent, scene digest
Digest = NewType("Digest", str)  # 64 hex: BLAKE3-256 of a blob's bytes
AuthorId = NewType("AuthorId", str)  # 16 hex: drawn at each start of a store
LeaseId = NewType("LeaseId", str)  # 16 hex: drawn by the owner that grants it
RequestId = NewType("RequestId", str)  # correlates one ask from the shell with its Reply
TaskId = NewType("TaskId", str)  # one piece of work that an effect started
Ticket = NewType("Ticket", str)  # one FetchBlobs effect

_HEX = re.compile(r"[0-9a-f]+\Z")


def is_hex(text: object, length: int) -> bool:
    """Whether `text` is a lowercase hexadecimal string of exactly `length` digits."""
    return isinstance(text, str) and len(text) == length and _HEX.match(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class Fence:
    """A job's ownership token; lexicographic order, the greater one rules."""

    epoch: int
    peer: PeerId


@dataclass(frozen=True, slots=True, order=True)
class AttemptId:
    """One grant of one frame: unique for ever. `counter` carries the owner's run epoch in its upper 32 bits."""

    epoch: int
    owner: PeerId
    counter: int


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where a socket listens: a literal IP address (never a name) and a port from 1 to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@lru_cache(maxsize=8_192)
def shared(text: str) -> str:
    """`text`, as one object for equal texts of late: ids and words that the facts of many frames repeat are held once."""
    return text
