"""Turning the key of running sockets: datagrams, both ends of the mesh port and the user port's certificate.

Decides the order in which they take a ring over. Refuses to know what is in a ring and why it changes (`protocol.keyring`).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from peer.net.certificates import Authority, MeshCertificates, make_certificates
from peer.net.identity import Identity
from peer.net.meshclient import MeshClient
from peer.net.meshserver import MeshServer
from protocol.effects import UseKeys
from protocol.errors import Invalid, Malformed
from protocol.events import Event, KeysInUse
from protocol.keyring.state import RingState, load_ring
from protocol.wire.seal import KeyRing, MeshKey

_log = structlog.get_logger("rendermesh")


def stored_ring(values: Mapping[str, bytes], configured: MeshKey, folder: Path) -> RingState:
    """The ring to start with: what is stored outranks the setting. Raises `Invalid` (`key_ring_damaged`)."""
    try:
        state, told = load_ring(values, configured)
    except Malformed as fault:
        raise Invalid(
            "key_ring_damaged",
            f"the key ring in {folder} cannot be read: {fault}. Move that folder away and start with an empty one.",
        ) from fault
    if told:
        _log.warning("mesh_key_setting", text=told)
    return state


class KeyTurner:
    """Invariants: every `UseKeys` comes back as one `KeysInUse`, in order, after all sockets go by its ring; the server trusts
    a new key before the client shows it."""

    def __init__(self, state: RingState, identity: Identity, hosts: Sequence[str]) -> None:
        """`hosts` are names of the user port. Sockets that are attached later follow."""
        self.state = state
        self.ring = KeyRing(state.primary)
        self.ring.replace(state.ring)
        self._identity = identity
        self._hosts = hosts
        self.certificates = self._make(state.ring)
        self._waiting: asyncio.Queue[UseKeys] = asyncio.Queue()
        self._user: ssl.SSLContext | None = None

    def user_context(self) -> ssl.SSLContext:
        """For the user port; it follows every turn."""
        self._user = self.certificates.user_context()
        return self._user

    def authority(self) -> str:
        """The certificate (PEM) that verifies the user port now."""
        return self.certificates.authorities[0].pem

    def turn(self, effect: UseKeys) -> None:
        """Have the sockets take a ring over, soon."""
        self._waiting.put_nowait(effect)

    async def run(
        self, client: MeshClient, server: MeshServer, *, tell: Callable[[Event], None],
        turned: Callable[[Sequence[Authority]], None],
    ) -> None:  # fmt: skip
        """Take over one ring after the other, until cancelled; `turned` hears of the authorities, the issuing one first."""
        while True:
            effect = await self._waiting.get()
            self.certificates = certificates = self._make(effect.keys)
            await server.use(certificates)
            client.use(certificates)
            self.ring.replace(effect.keys)
            if self._user is not None:
                certificates.show_leaf(self._user)
            turned(certificates.authorities)
            tell(KeysInUse(effect.version))

    def _make(self, keys: Sequence[MeshKey]) -> MeshCertificates:
        return make_certificates(keys, self._identity, now=dt.datetime.now(dt.UTC), hosts=self._hosts)
