"""Telling those whom this peer was told of who it is, one by one, as a goodbye is told.

Decides whom to tell, and how often. In a small mesh each piece of news is sent so few times that gossip alone leaves one joiner
in 25 unknown to somebody until tables are compared; and what a joiner says counts only once its salt is believed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protocol import limits
from protocol.ids import PeerId
from protocol.membership.context import ECHO_S, Context
from protocol.membership.echoes import Awaited
from protocol.wire.gossip import Ping

_TRIES = 5
_LATER = 1.5  # growth of the wait between two tries, as between attempts to join


@dataclass(slots=True)
class _Introduction:
    at_s: float
    wait_s: float
    tries: int = 0


class Introductions:
    """Invariants: at most `limits.JOIN_TOLD_DIRECTLY_MAX` members are being told at a time, each until its answer shows that it
    believes this peer, and at most five times."""

    def __init__(self, context: Context) -> None:
        self._ctx = context
        self._telling: dict[PeerId, _Introduction] = {}

    def begin(self, peers: Iterable[PeerId], now_s: float) -> None:
        """Tell some of these, drawn by chance when there are many; those that are down, and this peer itself, are left out."""
        known = [member for member in map(self._ctx.members.get, peers) if member is not None]
        found = [member.peer for member in known if member.up and member.peer not in self._telling]
        room = limits.JOIN_TOLD_DIRECTLY_MAX - len(self._telling)
        for peer in self._ctx.random.sample(found, min(len(found), room)):
            self._telling[peer] = _Introduction(now_s, self._ctx.options.join_first_s)

    def believed(self, peer: PeerId) -> None:
        """It has answered, and asked for no proof of ours."""
        self._telling.pop(peer, None)

    def next_deadline(self) -> float | None:
        """When somebody is to be told (again)."""
        return None if self._ctx.leaving else min((one.at_s for one in self._telling.values()), default=None)

    def on_deadline(self, now_s: float) -> None:
        """Tell those whose time has come."""
        if self._ctx.leaving:
            return
        for peer, one in list(self._telling.items()):
            member = self._ctx.members.get(peer)
            if one.tries >= _TRIES or member is None or not member.up:
                del self._telling[peer]
            elif one.at_s <= now_s:
                one.at_s, one.wait_s, one.tries = now_s + one.wait_s, one.wait_s * _LATER, one.tries + 1
                seq = self._ctx.token()
                self._ctx.echoes.expect(seq, Awaited("prove", (peer,), now_s + ECHO_S))
                self._ctx.datagram(peer, member.address, Ping(seq, peer), self._ctx.me)
