"""Spreading what is queued: the gossip tick, to members by chance and to those who died lately.

Decides to whom and when. Refuses to know what the news says.
"""

from __future__ import annotations

from protocol.ids import PeerId
from protocol.membership.context import Context
from protocol.membership.members import Member


class Gossip:
    """Invariant: silent while nothing is queued or nobody could hear it; never two ticks within one interval."""

    def __init__(self, context: Context) -> None:
        self._ctx = context
        self._last_s = float("-inf")
        self._at_s: float | None = None

    def arm(self, now_s: float) -> None:
        """After each step: news that waits gets a tick."""
        if not len(self._ctx.broadcasts) or not (self._ctx.members.up_count or self._lately_dead(now_s)):
            self._at_s = None
        elif self._at_s is None:
            self._at_s = max(now_s, self._last_s + self._ctx.options.gossip_interval_s)

    def next_deadline(self) -> float | None:
        """The next tick, if there is anything to say."""
        return self._at_s

    def on_deadline(self, now_s: float) -> None:
        """Tell a few."""
        if self._at_s is None or self._at_s > now_s:
            return
        self._at_s, self._last_s = None, now_s
        for peer in self._hearers(now_s):
            member = self._ctx.members.get(peer)
            if member is not None and len(self._ctx.broadcasts):
                self._ctx.datagram(peer, member.address)

    def _hearers(self, now_s: float) -> list[PeerId]:
        random, fanout = self._ctx.random, self._ctx.options.fanout
        drawn = [member.peer for member in self._ctx.members.draw(random, fanout)]
        dead = [member.peer for member in self._lately_dead(now_s)]
        if not dead:
            return list(drawn)
        pool = [*drawn, *random.sample(dead, min(fanout, len(dead)))]
        return random.sample(pool, min(fanout, len(pool)))

    def _lately_dead(self, now_s: float) -> list[Member]:
        return self._ctx.members.lately_dead(since_s=now_s - self._ctx.options.gossip_to_dead_s)
