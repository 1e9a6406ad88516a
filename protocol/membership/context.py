"""What the parts of the membership machine share: who I am, who is known, what is being said, what goes out.

Decides how a datagram is filled up with news. Refuses to decide anything about members.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Literal

from protocol import limits
from protocol.effects import Effect, Notice, SendDatagram, SendStream
from protocol.ids import Address, PeerId
from protocol.membership.awareness import Awareness
from protocol.membership.broadcasts import Broadcasts, retransmit_limit
from protocol.membership.echoes import Awaited, Echoes
from protocol.membership.members import Member, Members
from protocol.membership.options import SwimOptions
from protocol.signals import MemberForgotten, Signal
from protocol.wire.codec import encoded_size
from protocol.wire.gossip import Alive, DatagramMessage, Ping, StreamGossip, Suspect

ECHO_S = 30.0  # an answer later than this answers nothing


class Context:
    """Shared state of one peer. Invariants: `me` is my newest news of myself, and only this machine raises its
    incarnation; every datagram stays within `limits.DATAGRAM_PAYLOAD_BYTES_MAX`."""

    def __init__(self, *, me: Alive, options: SwimOptions, random: Random, token: Callable[[], int]) -> None:
        self.me = me
        self.options = options
        self.random = random
        self.token = token
        self.leaving = False
        self.members = Members()
        self.broadcasts = Broadcasts()
        self.awareness = Awareness(options.health_max)
        self.echoes = Echoes()
        self.to_verify: list[tuple[PeerId, float]] = []  # accused with a refused connection: ask them after so many seconds
        self.to_look_at: list[PeerId] = []  # accused by others for their silence: ask them too
        self.address_changed = False  # the set of known addresses differs from the snapshot
        self._out: list[Effect | Signal] = []

    def drain(self) -> list[Effect | Signal]:
        """Everything that this step leads to, in order."""
        out, self._out = self._out, []
        return out

    def emit(self, what: Effect | Signal) -> None:
        """Add to this step's effects and signals."""
        self._out.append(what)

    def notice(self, event: str, level: Literal["debug", "info", "warning", "error"] = "info", **fields: Any) -> None:
        """Tell people and gauges."""
        self.emit(Notice(event, level, fields=fields))

    def changed(self, member: Member) -> None:
        """Tell the other machines about `member` as it now stands."""
        self.address_changed = True
        self.emit(member.changed())

    def forget(self, member: Member) -> None:
        """Drop a member that is down, here and in the other machines."""
        self.members.forget(member.peer)
        self.address_changed = True
        self.emit(MemberForgotten(member.peer))
        self.notice("member_forgotten", "debug", peer=member.peer, was=member.state)

    def datagram(self, peer: PeerId | None, address: Address, *messages: DatagramMessage) -> None:
        """Send `messages`, and what is left of 1,400 bytes filled with news when the receiver is known here."""
        filling: list[DatagramMessage] = []
        member = None if peer is None else self.members.get(peer)
        if member is not None and len(self.broadcasts):
            room = limits.DATAGRAM_PAYLOAD_BYTES_MAX - sum(encoded_size(message) for message in messages)
            limit = retransmit_limit(mult=self.options.retransmit_mult, live=self.members.live)
            told = self.broadcasts.take(room, limit=limit, counted=member.state == "alive")
            filling = [news for news in told if news not in messages]
        if messages or filling:
            self.emit(SendDatagram(address, peer, (*messages, *filling)))

    def stream(self, member: Member, message: StreamGossip) -> None:
        """Send over the mesh port, ahead of everything that waits for the disk."""
        self.emit(SendStream(member.peer, member.mesh_address, message, urgent=True))

    def ask(self, member: Member, purpose: Literal["heal"], now_s: float) -> None:
        """Ping a member outside the probe cycle, with what is said about it, so that it can refute."""
        seq = self.token()
        self.echoes.expect(seq, Awaited(purpose, (member.peer,), now_s + ECHO_S))
        self.datagram(member.peer, member.address, Ping(seq, member.peer, self.accusation(member)))

    def accusation(self, member: Member) -> Suspect | None:
        """What is held against `member` (dead counts as suspected: it is for itself to refute); None when alive."""
        if member.state in ("alive", "left"):
            return None
        accuser = member.suspicion.accuser if member.suspicion is not None else self.me.peer
        return Suspect(member.peer, member.run_epoch, member.incarnation, accuser, False)

    def say_again(self, *, incarnation: int, meta: bytes | None = None) -> None:
        """Announce myself in a higher incarnation."""
        assert incarnation > self.me.incarnation
        self.me = replace(self.me, incarnation=incarnation, meta=self.me.meta if meta is None else meta)
        self.broadcasts.put(self.me)

    def outlive(self, run_epoch: int) -> None:
        """Announce myself as the one who goes on after that run: in the next one."""
        assert run_epoch >= self.me.run_epoch
        self.me = replace(self.me, run_epoch=run_epoch + 1, incarnation=1)
        self.broadcasts.put(self.me)
