"""Datagrams under a salt that is not believed yet: answered, challenged, and their news kept for a moment.

A recorded datagram opens for ever, so what it says counts only once its sender has echoed a random sequence of ours under
that salt. Decides what waits for the proof. Refuses to know what the news says.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol import limits
from protocol.ids import PeerId
from protocol.membership.context import Context
from protocol.membership.echoes import Awaited
from protocol.wire.gossip import News, Ping


@dataclass(slots=True)
class _Stranger:
    seq: int
    since_s: float
    asked_s: float = float("-inf")
    held: list[News] = field(default_factory=list)


class Strangers:
    """Invariants: at most `limits.STRANGERS_HELD_MAX` unproven salts, the oldest forgotten first, each with at most
    `limits.MESSAGES_HELD_PER_STRANGER_MAX` pieces of news for at most `stranger_s`."""

    def __init__(self, context: Context) -> None:
        self._ctx = context
        self._waiting: OrderedDict[tuple[PeerId, bytes], _Stranger] = OrderedDict()

    def challenge(self, sender: PeerId, salt: bytes, now_s: float) -> Ping:
        """A ping whose echo proves the salt; the same sequence as long as it is fresh."""
        stranger = self._stranger(sender, salt, now_s)
        stranger.asked_s = now_s
        return Ping(stranger.seq, sender)

    def is_asked(self, sender: PeerId, salt: bytes, now_s: float) -> bool:
        """Whether a challenge went out just now."""
        stranger = self._waiting.get((sender, salt))
        return stranger is not None and now_s - stranger.asked_s < self._ctx.options.challenge_s

    def hold(self, sender: PeerId, salt: bytes, news: Iterable[News], now_s: float) -> None:
        """Keep `news` until the salt is proven, or forget it."""
        stranger = self._stranger(sender, salt, now_s)
        room = limits.MESSAGES_HELD_PER_STRANGER_MAX - len(stranger.held)
        stranger.held += list(news)[:room]

    def proven(self, sender: PeerId, salt: bytes, now_s: float) -> list[News]:
        """The salt is believed: what was kept, if it is not too old."""
        stranger = self._waiting.pop((sender, salt), None)
        if stranger is None or now_s - stranger.since_s > self._ctx.options.stranger_s:
            return []
        return stranger.held

    def _stranger(self, sender: PeerId, salt: bytes, now_s: float) -> _Stranger:
        stranger = self._waiting.get((sender, salt))
        if stranger is not None and now_s - stranger.since_s <= self._ctx.options.stranger_s:
            return stranger
        stranger = _Stranger(self._ctx.token(), now_s)
        self._waiting[(sender, salt)] = stranger
        self._ctx.echoes.expect(stranger.seq, Awaited("prove", (sender,), now_s + 2 * self._ctx.options.stranger_s))
        if len(self._waiting) > limits.STRANGERS_HELD_MAX:
            self._waiting.popitem(last=False)
        return stranger
