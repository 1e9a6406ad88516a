"""Who a caller is: the text that it shows, compared with what the mesh keeps of its keys.

Decides whether a key is genuine. Refuses to know HTTP and what a role may do. Draws what must not be guessed: ids and
secrets. Nothing is cached: one hash costs a microsecond, and a revoked key must not live on in a cache.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from protocol.access.keys import HASH_BYTES, ID_BYTES, SECRET_BYTES, KeyRecord, format_key, hash_secret, parse_key
from protocol.access.roles import Role

NOBODY: Final = bytes(HASH_BYTES)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who has proven a role. `submitter` is unique for its key and fit for a header; `name` is for people."""

    role: Role
    name: str
    key: str | None

    @property
    def submitter(self) -> str:
        """In whose name jobs are submitted."""
        return self.name if self.key is None else f"{self.name}/{self.key}"


class Verifier(Protocol):
    """One way to prove who one is (keys here; tokens of an identity provider later)."""

    def verify(self, text: str) -> Caller | None:
        """The caller, or None when this text proves nothing in this way."""
        ...


class KeyVerifier:
    """Invariant: a key counts exactly while its record is here, unrevoked, with the hash of this very secret."""

    def __init__(self, record_of: Callable[[str], KeyRecord | None]) -> None:
        self._record_of = record_of

    def verify(self, text: str) -> Caller | None:
        """Takes as long for an unknown id as for a wrong secret."""
        parsed = parse_key(text)
        if parsed is None:
            return None
        key, secret = parsed
        record = self._record_of(key)
        genuine = hmac.compare_digest(hash_secret(secret), NOBODY if record is None else record.hash)
        if record is None or not genuine or record.revoked:
            return None
        return Caller(record.role, record.name, record.id)


def first_of(verifiers: Sequence[Verifier], text: str) -> Caller | None:
    """The caller that the first verifier which knows this text names."""
    return next((caller for one in verifiers if (caller := one.verify(text)) is not None), None)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just drawn. `text` is its holder's alone: it is shown once, and never logged (so not in `repr`)."""

    id: str
    hash: bytes
    text: str

    def __repr__(self) -> str:
        return f"NewKey({self.id})"


def draw_key() -> NewKey:
    """A key of fresh randomness from the operating system."""
    return key_of(secrets.token_hex(ID_BYTES), secrets.token_bytes(SECRET_BYTES))


def key_of(key: str, secret: bytes) -> NewKey:
    """The key of an id and a secret that exist already."""
    return NewKey(key, hash_secret(secret), format_key(key, secret))
