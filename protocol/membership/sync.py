"""Comparing the whole table over streams (push-pull): a digest first, then only what differs.

Decides what two peers must tell each other so that both know the same. Refuses to know what each row changes (`news`).

A periodic round is SyncDigest -> SyncVersions (only when it differs) -> PushPull -> PushPull; a joiner sends a PushPull
that asks for everything. With nothing new a round costs two dozen bytes, however many members there are.
"""

from __future__ import annotations

import math

import blake3

from protocol import limits
from protocol.effects import SendStream, SendToSeed
from protocol.ids import Address, PeerId
from protocol.membership.context import Context
from protocol.membership.introductions import Introductions
from protocol.membership.members import Member
from protocol.membership.news import Desk
from protocol.signals import MemberState
from protocol.wire.gossip import MemberNews, PushPull, SyncDigest, SyncVersions

_RANK: dict[MemberState, int] = {"alive": 0, "suspect": 0, "dead": 1, "left": 2}
_PULL_TRIES = 5
_TRYING = math.inf  # sent, and neither answered nor failed so far
_SCALED_ABOVE = 32  # members; memberlist's pushPullScaleThreshold


def scaled_interval(interval_s: float, *, live: int) -> float:
    """The interval in a mesh of `live` members: it grows with the logarithm above 32 (memberlist, util.go)."""
    if live <= _SCALED_ABOVE:
        return interval_s
    return interval_s * (math.ceil(math.log2(live) - math.log2(_SCALED_ABOVE)) + 1)


class Sync:
    """Invariants: after a start rounds come at doubling distances, then one per (scaled) interval, each with one member
    by chance; a message holds at most `limits.SYNC_NEWS_MAX` members."""

    def __init__(self, context: Context, desk: Desk, introductions: Introductions) -> None:
        self._ctx = context
        self._desk = desk
        self._introductions = introductions
        self._at_s: float | None = None
        self._wait_s = 0.0
        self._again: dict[PeerId, tuple[float, int]] = {}  # failed pulls: (when next, how often failed)

    def start(self, now_s: float) -> None:
        """Begin the rounds: soon and close together, since a joiner misses news while nobody believes its salt yet."""
        self._wait_s = self._ctx.options.sync_first_s
        self._at_s = now_s + self._ctx.random.uniform(0.5, 1.0) * self._wait_s

    def pull(self, member: Member) -> None:
        """Tell `member` everything and ask for everything: right after a join, and when a dead one answers."""
        self._send(member, self._everything(), everything=True)

    def pull_at(self, peer: PeerId, address: Address) -> None:
        """The same with a peer that is no member yet; `address` is its mesh port's."""
        self._ctx.emit(SendStream(peer, address, PushPull(self._everything(), (), True), urgent=True))

    def pull_from_seed(self, address: Address) -> None:
        """The same with whoever listens at a seed, for a peer whose datagrams nobody answers."""
        self._ctx.emit(SendToSeed(address, PushPull(self._everything()[: limits.SYNC_NEWS_MAX], (), True)))

    def pull_failed(self, peer: PeerId, now_s: float) -> None:
        """A pull was not delivered: once more in a moment, a few times."""
        tries = self._again.get(peer, (0.0, 0))[1] + 1
        if tries <= _PULL_TRIES and len(self._again) < limits.SEEDS_MAX:
            self._again[peer] = (now_s + 0.5 * 2**tries, tries)
        else:
            self._again.pop(peer, None)

    def digest_received(self, message: SyncDigest, sender: PeerId) -> None:
        """A round begins on the other side: equal digests end it."""
        member = self._ctx.members.get(sender)
        if member is not None and message.root != self.root():
            self._ctx.stream(member, SyncVersions(self._rows()))

    def versions_received(self, message: SyncVersions, sender: PeerId) -> None:
        """The other side differs: send what it lacks, ask for what is newer there."""
        member = self._ctx.members.get(sender)
        if member is None:
            return
        theirs = {peer: (epoch, incarnation, _RANK[state]) for peer, epoch, incarnation, state in message.rows}
        news = tuple(one for one in self._everything() if self._lacks(theirs.get(one.alive.peer), one))
        wanted = tuple(peer for peer in theirs if self._wants(peer, theirs[peer]))
        if news or wanted:
            self._send(member, news, wanted=wanted)

    def push_pull_received(self, message: PushPull, sender: PeerId, now_s: float) -> None:
        """State arrives, and is answered when asked for."""
        self._again.pop(sender, None)
        unknown = [news.alive.peer for news in message.news if self._ctx.members.get(news.alive.peer) is None]
        for news in message.news:
            self._desk.merge(news, sender, now_s)
        self._introductions.begin((peer for peer in unknown if peer != sender), now_s)
        member = self._ctx.members.get(sender)
        if member is None:
            return
        if message.everything:
            self._send(member, self._everything())
        elif message.wanted:
            asked = dict.fromkeys(message.wanted)
            self._send(member, tuple(one for one in self._everything() if one.alive.peer in asked))

    def root(self) -> bytes:
        """16 bytes over (peer, run epoch, incarnation) of everybody that is up, myself included."""
        digest = blake3.blake3()
        me = self._ctx.me
        up = [(member.peer, *member.order) for member in self._ctx.members.up()]
        for peer, epoch, incarnation in sorted([*up, (me.peer, me.run_epoch, me.incarnation)]):
            digest.update(bytes.fromhex(peer) + epoch.to_bytes(8, "big") + incarnation.to_bytes(8, "big"))
        return digest.digest(length=16)

    def next_deadline(self) -> float | None:
        """The next round, or the next try of a failed pull."""
        times = [at_s for at_s, _ in self._again.values() if at_s != _TRYING]
        if self._at_s is not None:
            times.append(self._at_s)
        return None if self._ctx.leaving else min(times, default=None)

    def on_deadline(self, now_s: float) -> None:
        """Begin a round; pull again where it failed."""
        if self._ctx.leaving:
            return
        for peer, (at_s, tries) in list(self._again.items()):
            member = self._ctx.members.get(peer)
            if at_s <= now_s and member is not None:
                self._again[peer] = (_TRYING, tries)
                self.pull(member)
            elif at_s <= now_s:
                del self._again[peer]
        if self._at_s is None or self._at_s > now_s:
            return
        interval_s = scaled_interval(self._ctx.options.sync_interval_s, live=self._ctx.members.live)
        self._wait_s = min(2 * self._wait_s, interval_s)
        self._at_s = now_s + self._wait_s * self._ctx.random.uniform(0.9, 1.1)
        for member in self._ctx.members.draw(self._ctx.random, 1):
            self._ctx.stream(member, SyncDigest(self.root()))

    def _everything(self) -> tuple[MemberNews, ...]:
        mine = MemberNews(self._ctx.me, "left" if self._ctx.leaving else "alive")
        return (mine, *(member.news() for member in self._ctx.members))

    def _rows(self) -> tuple[tuple[PeerId, int, int, MemberState], ...]:
        rows = [(one.alive.peer, one.alive.run_epoch, one.alive.incarnation, one.state) for one in self._everything()]
        return tuple(sorted(rows)[: limits.MESSAGE_ITEMS_MAX])

    def _lacks(self, theirs: tuple[int, int, int] | None, news: MemberNews) -> bool:
        rank = _RANK[news.state]
        return rank == 0 if theirs is None else (news.alive.run_epoch, news.alive.incarnation, rank) > theirs

    def _wants(self, peer: PeerId, theirs: tuple[int, int, int]) -> bool:
        me = self._ctx.me
        if peer == me.peer:
            return (me.run_epoch, me.incarnation, 0) < theirs and (theirs[0] == me.run_epoch or theirs[2] > 0)
        member = self._ctx.members.get(peer)
        return theirs[2] == 0 if member is None else (*member.order, _RANK[member.state]) < theirs

    def _send(
        self, member: Member, news: tuple[MemberNews, ...], *, wanted: tuple[PeerId, ...] = (), everything: bool = False
    ) -> None:
        """In pieces that fit one message; the last one asks."""
        pieces = [news[at : at + limits.SYNC_NEWS_MAX] for at in range(0, len(news), limits.SYNC_NEWS_MAX)] or [()]
        for piece in pieces[:-1]:
            self._ctx.stream(member, PushPull(piece, (), False))
        self._ctx.stream(member, PushPull(pieces[-1], wanted, everything))
