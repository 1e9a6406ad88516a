"""What a peer holds of its mesh's keys: the ring itself, which key seals, which are gone for good, and how it is stored.

Decides the order of two states and the layout on the disk. Refuses to know who else holds what (`keyring`) and where
bytes are kept. The stored form holds secrets: it belongs into a file that its account alone can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgpack

from protocol import limits
from protocol.errors import Invalid, Malformed
from protocol.ids import PeerId
from protocol.wire.fields import hexadecimal, items, octets, peer, sequence, uint
from protocol.wire.seal import KEY_BYTES, MeshKey

FINGERPRINT_BYTES: Final = 8
_PREFIX: Final = "keys/"


@dataclass(frozen=True, slots=True)
class HeldKey:
    """One key. `audience` None: for everybody in the mesh; else it is given to these ids (sorted) and to nobody else."""

    key: MeshKey
    audience: tuple[PeerId, ...] | None = None

    @property
    def fingerprint(self) -> str:
        """The key's name for people and between peers; not a secret."""
        return self.key.fingerprint

    def is_for(self, peer: PeerId) -> bool:
        """Whether it may be given to `peer`."""
        return self.audience is None or peer in self.audience


@dataclass(frozen=True, slots=True)
class RingState:
    """Invariants: at least one key, all of one mesh, sorted by fingerprint; no key whose fingerprint is in `removed`
    (oldest first, at most `limits.KEYS_REMOVED_REMEMBERED_MAX`); a lone key is for everybody, since whoever speaks has it.

    `used` is a register (counter, fingerprint): the greater one wins wherever two meet."""

    keys: tuple[HeldKey, ...]
    used: tuple[int, str]
    removed: tuple[str, ...] = ()

    @property
    def primary(self) -> MeshKey:
        """The key that seals: the one last told to be used, or, when that one is gone, the first that is left."""
        return (self.find(self.used[1]) or self.keys[0]).key

    @property
    def ring(self) -> tuple[MeshKey, ...]:
        """Every key that opens, the primary first."""
        primary = self.primary
        return (primary, *(held.key for held in self.keys if held.key != primary))

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The names of all keys, sorted."""
        return tuple(held.fingerprint for held in self.keys)

    @property
    def is_fresh(self) -> bool:
        """Nothing was ever done to this ring, so that there is nothing to tell."""
        return len(self.keys) == 1 and not self.removed and self.used[0] == 0

    def find(self, fingerprint: str) -> HeldKey | None:
        """The key of that name."""
        return next((held for held in self.keys if held.fingerprint == fingerprint), None)

    def is_audience(self, peer: PeerId) -> bool:
        """Whether every key here may be given to `peer`: whoever is being expelled has no say and is told nothing."""
        return all(held.is_for(peer) for held in self.keys)

    def install(self, held: HeldKey) -> RingState:
        """With one more key. Raises `Invalid`: `other_mesh`, `key_removed`, `ring_full`."""
        if held.key.mesh_hint != self.primary.mesh_hint:
            raise Invalid("other_mesh", "this key belongs to another mesh; a rotation keeps the mesh id and the name")
        if held.fingerprint in self.removed:
            raise Invalid("key_removed", f"key {held.fingerprint} was removed from this mesh, and does not come back")
        if self.find(held.fingerprint) is not None:
            return self
        if len(self.keys) >= limits.KEYS_PER_RING_MAX:
            raise Invalid("ring_full", f"the ring holds {limits.KEYS_PER_RING_MAX} keys already; remove an old one first")
        return replace(self, keys=tuple(sorted((*self.keys, held), key=lambda one: one.fingerprint)))

    def use(self, register: tuple[int, str]) -> RingState:
        """With this register when it is greater and its key is here."""
        newer = register > self.used and self.find(register[1]) is not None
        return replace(self, used=register) if newer else self

    def remove(self, fingerprints: tuple[str, ...]) -> RingState:
        """Without these keys for good; the last one that is left stays, whatever is said about it."""
        gone = [one for one in fingerprints if one not in self.removed and self.fingerprints != (one,)]
        left = tuple(held for held in self.keys if held.fingerprint not in gone)
        if not gone or not left:
            return self
        if len(left) == 1:
            left = (replace(left[0], audience=None),)
        removed = (*self.removed, *gone)[-limits.KEYS_REMOVED_REMEMBERED_MAX :]
        return replace(self, keys=left, removed=removed)


def fresh_ring(key: MeshKey) -> RingState:
    """The ring of a peer that knows nothing but its setting."""
    return RingState((HeldKey(key),), (0, key.fingerprint))


def stored_under(key: MeshKey) -> str:
    """The name under which the ring of this key's mesh is stored: each mesh has a ring of its own."""
    return _PREFIX + key.mesh_hint.hex()


def write_ring(state: RingState) -> bytes:
    """The stored form. Holds secrets."""
    keys = [[held.key.key, audience_row(held.audience)] for held in state.keys]
    counter, name = state.used
    packed: bytes = msgpack.packb([keys, [counter, bytes.fromhex(name)], [bytes.fromhex(one) for one in state.removed]])
    return packed


def audience_row(audience: tuple[PeerId, ...] | None) -> list[bytes] | None:
    """An audience as it is stored and sent."""
    return None if audience is None else [bytes.fromhex(one) for one in audience]


def read_ring(data: bytes, configured: MeshKey) -> RingState:
    """The ring in `data`, of the mesh that `configured` belongs to. Raises `Malformed`."""
    try:
        row = msgpack.unpackb(data, max_map_len=0, max_ext_len=0)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as fault:
        raise Malformed(f"not a key ring: {type(fault).__name__}") from fault
    keys, used, removed = sequence(row, 3, limits.MESSAGE_ITEMS_MAX)[:3]
    counter, name = sequence(used, 2, 2)
    register = (uint(counter, limits.EPOCH_MAX), hexadecimal(name, FINGERPRINT_BYTES))
    gone = items(removed, limits.KEYS_REMOVED_REMEMBERED_MAX, lambda one: hexadecimal(one, FINGERPRINT_BYTES))
    found = items(keys, limits.KEYS_PER_RING_MAX, lambda one: _held(one, configured))
    held = {one.fingerprint: one for one in found if one.fingerprint not in gone}
    if not held:
        raise Malformed("a key ring without keys")
    return RingState(tuple(held[one] for one in sorted(held)), register, gone)


def load_ring(values: Mapping[str, bytes], configured: MeshKey) -> tuple[RingState, str]:
    """The ring to start with, and what people should be told about the setting (empty: nothing).

    What is stored outranks the setting. A key that was removed is refused; one that this ring has never heard of was put
    there by an operator, since an old one would be known, and seals until others say better. Raises `Malformed`, `Invalid`.
    """
    data = values.get(stored_under(configured))
    if data is None:
        return fresh_ring(configured), ""
    state, name = read_ring(data, configured), configured.fingerprint
    if name in state.removed:
        return state, f"the mesh key {name} of the settings was removed from the mesh; the stored key ring is used instead"
    if state.find(name) is not None:
        return state, ""
    state = replace(state.install(HeldKey(configured)), used=(state.used[0], name))
    return state, f"the mesh key {name} of the settings is new to the stored key ring and is used from now on"


def _held(value: object, configured: MeshKey) -> HeldKey:
    key, audience = sequence(value, 2, 2)
    names = None if audience is None else items(audience, limits.MEMBERS_MAX, peer)
    return HeldKey(MeshKey(configured.mesh_id, octets(key, KEY_BYTES), configured.name), names)
