"""Sealing datagrams: who may speak in this mesh, and what is fresh.

Decides how a mesh key becomes keys per purpose, how a datagram is sealed, and which ones are opened, dropped or not yet
trusted. Refuses to know what is inside, where keys are kept, and where randomness comes from: the mesh key and each
process's salt are handed in, nothing here is drawn.

A sealed datagram is

    magic 2 | version 1 | mesh 8 | key 4 | sender 32 | salt 16 | counter 8 | ciphertext | tag 16

with everything before the ciphertext as associated data. The AES-256-GCM key is HKDF(datagram subkey, salt, sender), so
that no two processes, and no two runs of one, ever seal under the same key; the nonce is the counter as 96 bits.
`mesh` is a hash of mesh id and mesh name: another mesh's traffic is dropped by comparing eight bytes.

Freshness: a recorded datagram opens for ever. So a salt is *believed* only once its owner has echoed a random sequence of
ours under it (`Opener.believe`, asked for by membership), and a window rejects what was seen already under one salt.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol import limits
from protocol.errors import Invalid
from protocol.ids import PeerId, is_hex

MAGIC: Final = b"Rm"
VERSION: Final = b"\x01"
MESH_ID_BYTES: Final = 16
KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
MESH_NAME_BYTES_MAX: Final = 128

_TEXT_PREFIX: Final = "rendermesh-key-1"
_SENDER: Final = slice(15, 47)
_SALT: Final = slice(47, 63)
_COUNTER: Final = slice(63, 71)
_HEADER_BYTES: Final = 71
_TAG_BYTES: Final = 16
_NONCE_PAD: Final = bytes(4)
_WINDOW_MASK: Final = (1 << limits.REPLAY_WINDOW) - 1


class Dropped(Enum):
    """Why a datagram was not opened; the values are names for counters."""

    SHORT = "short"
    OVERSIZED = "oversized"
    NOT_OURS = "not_ours"  # no magic, or a version that we do not speak
    FOREIGN_MESH = "foreign_mesh"
    WRONG_KEY = "wrong_key"
    FORGED = "forged"  # the seal does not fit
    REPLAYED = "replayed"


@dataclass(frozen=True)
class MeshKey:
    """The secret of one mesh. `mesh_id` (16 bytes) outlives rotations of `key` (32 bytes); `name` is the mesh's name.

    The name enters every derivation, so that meshes of other names never meet even under one key.
    Raises `Invalid` (`bad_mesh_key`) for wrong lengths."""

    mesh_id: bytes = field(repr=False)
    key: bytes = field(repr=False)
    name: str = "default"

    def __post_init__(self) -> None:
        if len(self.mesh_id) != MESH_ID_BYTES or len(self.key) != KEY_BYTES:
            raise Invalid("bad_mesh_key", f"a mesh key needs {MESH_ID_BYTES} bytes of mesh id and {KEY_BYTES} bytes of key")
        if not self.name or len(self.name.encode("utf-8", "surrogatepass")) > MESH_NAME_BYTES_MAX:
            raise Invalid("bad_mesh_name", f"the mesh's name must have 1 to {MESH_NAME_BYTES_MAX} bytes")

    def subkey(self, purpose: bytes, *, length: int = 32) -> bytes:
        """`length` bytes for one purpose (HKDF-SHA256, RFC 5869), independent of every other purpose's."""
        info = b"rendermesh 1\0" + self.name.encode("utf-8", "surrogatepass") + b"\0" + purpose
        return HKDF(algorithm=SHA256(), length=length, salt=self.mesh_id, info=info).derive(self.key)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that name this key to people and in the ring, without giving it away."""
        return self.subkey(b"fingerprint", length=8).hex()

    @cached_property
    def mesh_hint(self) -> bytes:
        """8 bytes that say which mesh a datagram is for; the same under every key of the mesh."""
        digest = Hash(SHA256())
        digest.update(b"rendermesh mesh\0" + self.mesh_id + self.name.encode("utf-8", "surrogatepass"))
        return digest.finalize()[:8]

    @cached_property
    def key_hint(self) -> bytes:
        """4 bytes that say which key of the ring sealed a datagram."""
        return self.subkey(b"key hint", length=4)

    @cached_property
    def _datagram_key(self) -> bytes:
        return self.subkey(b"datagram")

    def cipher(self, sender: bytes, salt: bytes) -> AESGCM:
        """The cipher of one process: `sender` is its raw id (32 bytes), `salt` what it drew (16 bytes)."""
        return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=salt, info=sender).derive(self._datagram_key))


def parse_mesh_key(text: str, *, name: str = "default") -> MeshKey:
    """Read `rendermesh-key-1:<32 hex mesh id>:<64 hex key>`, white space around it allowed.

    Raises `Invalid` (`bad_mesh_key`) with a sentence that says how to get one; the text itself is never shown."""
    prefix, _, rest = text.strip().partition(":")
    mesh_id, _, key = rest.partition(":")
    if prefix != _TEXT_PREFIX or not is_hex(mesh_id, 2 * MESH_ID_BYTES) or not is_hex(key, 2 * KEY_BYTES):
        raise Invalid(
            "bad_mesh_key",
            f"this is not a mesh key: it must read {_TEXT_PREFIX}:<32 hex digits>:<64 hex digits>. "
            "Make one with `peerctl keygen` and give every peer the same",
        )
    return MeshKey(bytes.fromhex(mesh_id), bytes.fromhex(key), name)


def format_mesh_key(key: MeshKey) -> str:
    """The text form that `parse_mesh_key` reads. A secret; the mesh's name is not part of it."""
    return f"{_TEXT_PREFIX}:{key.mesh_id.hex()}:{key.key.hex()}"


class KeyRing:
    """The keys of one mesh. Invariants: at least one, all of one mesh id and name; the first is the primary.

    Every key opens, the primary seals."""

    def __init__(self, primary: MeshKey) -> None:
        self._keys = [primary]
        self._hints = {primary.key_hint: primary}

    @property
    def primary(self) -> MeshKey:
        """The key that seals."""
        return self._keys[0]

    @property
    def keys(self) -> tuple[MeshKey, ...]:
        """Every key that opens, the primary first."""
        return tuple(self._keys)

    @property
    def mesh_hint(self) -> bytes:
        """See `MeshKey.mesh_hint`."""
        return self.primary.mesh_hint

    def find(self, key_hint: bytes) -> MeshKey | None:
        """The key that a datagram names, or None."""
        return self._hints.get(key_hint)

    def install(self, key: MeshKey) -> None:
        """Let `key` open datagrams too. Raises `Invalid` for another mesh's key, `Invalid` when the ring is full."""
        if key.mesh_hint != self.mesh_hint:
            raise Invalid("other_mesh", "this key belongs to another mesh; a rotation keeps the mesh id and the name")
        if key.key_hint in self._hints:
            return
        if len(self._keys) >= limits.KEYS_PER_RING_MAX:
            raise Invalid("ring_full", f"the ring holds {limits.KEYS_PER_RING_MAX} keys already; remove an old one first")
        self._keys.append(key)
        self._hints[key.key_hint] = key

    def use(self, fingerprint: str) -> None:
        """Seal with this key from now on. Raises `Invalid` for one that is not installed."""
        key = self._named(fingerprint)
        self._keys.remove(key)
        self._keys.insert(0, key)

    def remove(self, fingerprint: str) -> None:
        """Open nothing under this key any more. Raises `Invalid` for the primary or one that is not installed."""
        key = self._named(fingerprint)
        if key is self.primary:
            raise Invalid("primary_key", "this key seals; use another one first")
        self._keys.remove(key)
        del self._hints[key.key_hint]

    def replace(self, keys: Sequence[MeshKey]) -> None:
        """Hold exactly these, the first one sealing. Raises `Invalid` for another mesh's key, AssertionError for none."""
        assert keys
        if any(key.mesh_hint != self.mesh_hint for key in keys):
            raise Invalid("other_mesh", "this key belongs to another mesh; a rotation keeps the mesh id and the name")
        self._keys = list(keys)
        self._hints = {key.key_hint: key for key in keys}

    def _named(self, fingerprint: str) -> MeshKey:
        for key in self._keys:
            if key.fingerprint == fingerprint:
                return key
        raise Invalid("no_such_key", f"no key {fingerprint[:32]!r} in the ring; see the list")


class Sealer:
    """Seals what one process says. Invariant: a (key, salt, counter) never repeats.

    `salt` must be fresh randomness, drawn by the caller at each start and never reused."""

    def __init__(self, ring: KeyRing, me: PeerId, salt: bytes) -> None:
        assert len(salt) == SALT_BYTES
        self._ring = ring
        self._me = bytes.fromhex(me)
        self._salt = salt
        self._counter = 0
        self._use(ring.primary)

    def seal(self, payload: bytes) -> bytes:
        """One datagram, `limits.SEAL_BYTES` longer than `payload` (at most `limits.DATAGRAM_PAYLOAD_BYTES_MAX` bytes)."""
        assert len(payload) <= limits.DATAGRAM_PAYLOAD_BYTES_MAX
        if self._ring.primary is not self._key:
            self._use(self._ring.primary)
        self._counter += 1
        counter = self._counter.to_bytes(8, "big")
        header = self._head + counter
        return header + self._cipher.encrypt(_NONCE_PAD + counter, payload, header)

    def _use(self, key: MeshKey) -> None:
        self._key = key
        self._cipher = key.cipher(self._me, self._salt)
        self._head = MAGIC + VERSION + key.mesh_hint + key.key_hint + self._me + self._salt


@dataclass(frozen=True, slots=True)
class Opened:
    """What a sealed datagram held. `trusted`: `salt` has been believed, so this is fresh and not a recording."""

    sender: PeerId
    salt: bytes
    payload: bytes
    trusted: bool


@dataclass(slots=True)
class _Window:
    """The counters seen under one salt: the highest, and which of the `REPLAY_WINDOW` below it (bit 0 is the highest)."""

    cipher: AESGCM
    key: MeshKey
    highest: int = 0
    seen: int = 0

    def admits(self, counter: int) -> bool:
        behind = self.highest - counter
        return behind < 0 or (behind < limits.REPLAY_WINDOW and not self.seen >> behind & 1)

    def note(self, counter: int) -> None:
        ahead = counter - self.highest
        if ahead <= 0:
            self.seen |= 1 << -ahead
            return
        self.seen = ((self.seen << ahead) | 1) & _WINDOW_MASK if ahead < limits.REPLAY_WINDOW else 1
        self.highest = counter


class Opener:
    """Opens what others say, or names the reason why not.

    Invariants: nothing of a datagram is looked at before its seal has been checked, except the header; at most one salt
    per peer is believed (a restart's salt replaces its old run's); memory is bounded: strangers' salts by
    `limits.SALTS_REMEMBERED`, believed ones by `limits.SALTS_BELIEVED_MAX`, the least recently used forgotten first.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._strangers: OrderedDict[tuple[bytes, bytes], _Window] = OrderedDict()
        self._believed: OrderedDict[bytes, tuple[bytes, _Window]] = OrderedDict()

    def open(self, data: bytes) -> Opened | Dropped:
        """The inside of one datagram, or why it is dropped. Never raises, whatever the bytes."""
        reason = self._foreign(data)
        if reason is not None:
            return reason
        key = self._ring.find(data[11:15])
        if key is None:
            return Dropped.WRONG_KEY
        sender, salt, counter = data[_SENDER], data[_SALT], int.from_bytes(data[_COUNTER], "big")
        window = self._window(sender, salt)
        if window is not None and not window.admits(counter):
            return Dropped.REPLAYED
        if window is None or window.key is not key:
            cipher = key.cipher(sender, salt)
        else:
            cipher = window.cipher
        try:
            payload = cipher.decrypt(_NONCE_PAD + data[_COUNTER], data[_HEADER_BYTES:], data[:_HEADER_BYTES])
        except InvalidTag:
            return Dropped.FORGED
        if window is None:
            window = self._remember(sender, salt, _Window(cipher, key))
        window.cipher, window.key = cipher, key
        window.note(counter)
        return Opened(PeerId(sender.hex()), salt, payload, self._is_believed(sender, salt))

    def believe(self, peer: PeerId, salt: bytes) -> None:
        """`peer` has echoed our random sequence under `salt`: it is the salt of its living process, older ones are not.

        A salt under which nothing was opened lately is ignored."""
        sender = bytes.fromhex(peer)
        window = self._strangers.pop((sender, salt), None)
        if window is None:
            return
        self._believed[sender] = (salt, window)
        self._believed.move_to_end(sender)
        if len(self._believed) > limits.SALTS_BELIEVED_MAX:
            self._believed.popitem(last=False)

    def _foreign(self, data: bytes) -> Dropped | None:
        if len(data) < _HEADER_BYTES + _TAG_BYTES:
            return Dropped.SHORT
        if len(data) > limits.DATAGRAM_BYTES_MAX:
            return Dropped.OVERSIZED
        if data[:3] != MAGIC + VERSION:
            return Dropped.NOT_OURS
        return None if data[3:11] == self._ring.mesh_hint else Dropped.FOREIGN_MESH

    def _is_believed(self, sender: bytes, salt: bytes) -> bool:
        held = self._believed.get(sender)
        return held is not None and held[0] == salt

    def _window(self, sender: bytes, salt: bytes) -> _Window | None:
        held = self._believed.get(sender)
        if held is not None and held[0] == salt:
            self._believed.move_to_end(sender)
            return held[1]
        window = self._strangers.get((sender, salt))
        if window is not None:
            self._strangers.move_to_end((sender, salt))
        return window

    def _remember(self, sender: bytes, salt: bytes, window: _Window) -> _Window:
        self._strangers[(sender, salt)] = window
        if len(self._strangers) > limits.SALTS_REMEMBERED:
            self._strangers.popitem(last=False)
        return window
