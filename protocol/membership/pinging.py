"""`peerctl ping`: one member asked in three ways at once, for people who want to know which way is open and how long it takes.

Decides nothing about members: an answer or a silence here is no evidence for or against anybody, and no probe is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol import limits
from protocol.effects import Reply
from protocol.errors import Conflict, NotFound, Refusal, Unavailable
from protocol.ids import PeerId, RequestId
from protocol.membership.context import Context
from protocol.membership.echoes import Awaited
from protocol.membership.members import Member
from protocol.views import Pinged
from protocol.wire.gossip import Ping, PingReq, StreamPing


@dataclass(slots=True)
class _Round:
    """One ask. `open_` are the sequences without an answer so far, each with the way that it went."""

    request: RequestId
    peer: PeerId
    helper: PeerId | None
    began_s: float
    ends_s: float
    open_: dict[int, str] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)


class Pinger:
    """Invariants: each ask is answered exactly once, at the latest after `limits.PING_S`; at most `limits.PINGS_AT_ONCE_MAX`
    are under way."""

    def __init__(self, context: Context) -> None:
        self._ctx = context
        self._rounds: list[_Round] = []

    def ask(self, request: RequestId, peer: PeerId, now_s: float) -> None:
        """Ping `peer` by datagram, by stream and through a helper by chance; the reply is a `views.Pinged`."""
        member = self._ctx.members.get(peer)
        refusal = self._refusal(peer, member)
        if refusal is not None or member is None:
            self._ctx.emit(Reply(request, refusal))
            return
        helpers = self._ctx.members.draw(self._ctx.random, 1, without=peer)
        helper = helpers[0] if helpers else None
        one = _Round(request, peer, helper.peer if helper else None, now_s, now_s + limits.PING_S)
        self._rounds.append(one)
        direct = self._expect(one, "datagram", peer)
        self._ctx.datagram(peer, member.address, Ping(direct, peer))
        if helper is not None:
            indirect = self._expect(one, "indirect", helper.peer)
            self._ctx.datagram(helper.peer, helper.address, PingReq(indirect, peer, member.address))
        stream = self._ctx.token()
        one.open_[stream] = "stream"
        self._ctx.stream(member, StreamPing(stream, self._ctx.me))

    def _refusal(self, peer: PeerId, member: Member | None) -> Refusal | None:
        if peer == self._ctx.me.peer:
            return Conflict("own_peer", "this is the peer that was asked; name another one")
        if member is None:
            return NotFound("no_such_peer", f"no peer {peer[:8]} is known here")
        if len(self._rounds) >= limits.PINGS_AT_ONCE_MAX:
            return Unavailable("too_many_pings", "too many pings are under way", retry_after_s=limits.PING_S)
        return None

    def _expect(self, one: _Round, way: str, answers: PeerId) -> int:
        seq = self._ctx.token()
        one.open_[seq] = way
        self._ctx.echoes.expect(seq, Awaited("ping", (answers,), one.ends_s))
        return seq

    def answered(self, seq: int, sender: PeerId, now_s: float) -> None:
        """An ack under one of our sequences, by datagram (whose sender was checked) or by stream."""
        one = self._find(seq)
        if one is not None and (one.open_[seq] != "stream" or sender == one.peer):
            one.answered[one.open_.pop(seq)] = now_s - one.began_s
            self._end_when_settled(one)

    def failed(self, seq: int) -> None:
        """The stream ping was not delivered."""
        one = self._find(seq)
        if one is not None:
            del one.open_[seq]
            self._end_when_settled(one)

    def next_deadline(self) -> float | None:
        """When the oldest ask is out of time."""
        return min((one.ends_s for one in self._rounds), default=None)

    def on_deadline(self, now_s: float) -> None:
        """Answer what is out of time with what there is."""
        for one in [one for one in self._rounds if one.ends_s <= now_s]:
            self._end(one)

    def _find(self, seq: int) -> _Round | None:
        return next((one for one in self._rounds if seq in one.open_), None)

    def _end_when_settled(self, one: _Round) -> None:
        if not one.open_:
            self._end(one)

    def _end(self, one: _Round) -> None:
        self._rounds.remove(one)
        for seq in one.open_:
            self._ctx.echoes.forget(seq)
        took = one.answered
        self._ctx.emit(Reply(one.request, Pinged(took.get("datagram"), took.get("stream"), took.get("indirect"), one.helper)))
