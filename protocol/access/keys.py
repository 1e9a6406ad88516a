"""API keys: their text form, the record that is kept of one, and how two records of one key become one.

Decides what a key looks like and that a revocation is final. Refuses to know entropy (id and secret are drawn by the
shell) and never holds a secret: a record has its hash alone. A plain fast hash is enough, since the secret is 160 random
bits and nothing that a person has chosen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from blake3 import blake3

from protocol import limits
from protocol.access.roles import ROLES, Role
from protocol.errors import Malformed

PREFIX: Final = "mk"
ID_BYTES: Final = 8
SECRET_BYTES: Final = 20
HASH_BYTES: Final = 32
_TEXT: Final = re.compile(rf"{PREFIX}_([0-9a-f]{{{2 * ID_BYTES}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})\Z", re.ASCII)
_NAME: Final = re.compile(rf"[A-Za-z0-9](?:[A-Za-z0-9 ._@-]{{0,{limits.KEY_NAME_CHARS_MAX - 2}}}[A-Za-z0-9._@-])?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What every peer keeps of one key. `id` is 16 hex digits, `hash` 32 bytes, `created_ms` wall time for people."""

    id: str
    name: str
    role: Role
    hash: bytes
    created_ms: int
    revoked: bool = False


def format_key(key: str, secret: bytes) -> str:
    """`mk_<id>_<secret>`: what its holder is shown once."""
    assert len(secret) == SECRET_BYTES
    return f"{PREFIX}_{key}_{secret.hex()}"


def parse_key(text: str) -> tuple[str, bytes] | None:
    """Id and secret of a key's text form; None for anything else."""
    match = _TEXT.match(text)
    return None if match is None else (match[1], bytes.fromhex(match[2]))


def hash_secret(secret: bytes) -> bytes:
    """What is kept of a secret."""
    return blake3(secret, derive_key_context="rendermesh api key 1").digest()


def is_key_name(text: str) -> bool:
    """Whether a key may be called so: it stands in headers, logs and tables, so plain characters only, and no key itself."""
    return _NAME.match(text) is not None and parse_key(text) is None


def merge(one: KeyRecord, two: KeyRecord) -> KeyRecord:
    """The join of two records of one id: commutative, associative, idempotent. Revocation wins and is final.

    An id is drawn once from 64 random bits, so two bodies under one id are foul play: the key is revoked."""
    assert one.id == two.id
    alike = replace(one, revoked=False) == replace(two, revoked=False)
    return replace(max(one, two, key=_body), revoked=one.revoked or two.revoked or not alike)


def _body(record: KeyRecord) -> tuple[str, int, bytes, int]:
    return (record.name, ROLES.index(record.role), record.hash, record.created_ms)


def key_row(record: KeyRecord) -> list[Any]:
    """A record as a plain row, on the disk and between peers."""
    return [bytes.fromhex(record.id), record.name, record.role, record.hash, record.created_ms, record.revoked]


def key_from_row(row: object) -> KeyRecord:
    """The record of a row. Fields that a newer peer appended are ignored. Raises `Malformed`."""
    if type(row) is not list or not 6 <= len(row) <= limits.KEY_FIELDS_MAX:
        raise Malformed("a key's row has six fields")
    key, name, role, hashed, created_ms, revoked = row[:6]
    if type(key) is not bytes or len(key) != ID_BYTES or type(hashed) is not bytes or len(hashed) != HASH_BYTES:
        raise Malformed("a key's id or hash has another length")
    if type(name) is not str or not is_key_name(name):
        raise Malformed("a key's name has other characters than a name may have")
    known = next((one for one in ROLES if type(role) is str and one == role), None)
    if known is None or type(revoked) is not bool:
        raise Malformed("a key's role is unknown, or it is neither revoked nor not")
    if type(created_ms) is not int or not 0 <= created_ms <= limits.WALL_MS_MAX:
        raise Malformed("a key's time is out of range")
    return KeyRecord(key.hex(), name, known, hashed, created_ms, revoked)
