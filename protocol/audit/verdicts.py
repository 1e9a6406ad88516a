"""Whose frames are not to be trusted, by whose word, and who was let in again: one record of each peer, known to all.

A verdict is its author's, kept over restarts; every peer goes by all of them, but not by those of a peer that it distrusts
itself, nor by a pardon of the peer that it is for. Whoever runs the mesh lets a peer in again on any other one: a pardon names
the verdicts that it ends. Refuses to know how a peer was found out, and what follows for its frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from protocol import limits
from protocol.effects import Effect, Notice, Persist, Reply
from protocol.errors import Conflict, Malformed
from protocol.events import Booted, Event, ReadmitAsked
from protocol.ids import JobId, PeerId, RequestId
from protocol.kernel import Now
from protocol.records import PutValue
from protocol.rows import Reader, pack, unpack_list
from protocol.signals import CatalogChanged, PeerRefuted, Publish, Signal, TrustChanged

Output = Effect | Signal
VERDICTS_KEY: Final = "verdicts"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One word against a peer. `number` grows with each of its author's; `voters` rendered the frame otherwise, and alike."""

    peer: PeerId
    number: int
    job: JobId
    frame: int
    voters: tuple[PeerId, ...]
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Pardon:
    """Verdicts of `author` against `peer` up to `number` do not count any more."""

    author: PeerId
    peer: PeerId
    number: int


@dataclass(frozen=True, slots=True)
class Sayings:
    """All that one peer says: at most one verdict for each peer, at most one pardon for each author and peer."""

    verdicts: tuple[Verdict, ...] = ()
    pardons: tuple[Pardon, ...] = ()


class Verdicts:
    """Invariants: nothing of this peer's own is published before it is durable; `TrustChanged` is told once per change."""

    def __init__(self, *, me: PeerId) -> None:
        self._me = me
        self._said: dict[PeerId, Sayings] = {me: Sayings()}
        self._told: dict[PeerId, str] = {}

    def against(self, peer: PeerId) -> Verdict | None:
        """The word against a peer that counts here, its own author's first."""
        mine = self._counting(self._me, peer)
        if mine is not None:
            return mine
        found = [self._counting(author, peer) for author in sorted(self._said) if self._counting(self._me, author) is None]
        return next((verdict for verdict in found if verdict is not None), None)

    def _counting(self, author: PeerId, peer: PeerId) -> Verdict | None:
        verdict = next((one for one in self._said.get(author, Sayings()).verdicts if one.peer == peer), None)
        return None if verdict is None or self._pardoned(author, verdict) else verdict

    def _pardoned(self, author: PeerId, verdict: Verdict) -> bool:
        return any(
            (pardon.author, pardon.peer) == (author, verdict.peer) and pardon.number >= verdict.number
            for writer, said in self._said.items()
            if writer != verdict.peer
            for pardon in said.pardons
        )

    # the machine

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Events: Booted, ReadmitAsked. Signals: PeerRefuted, CatalogChanged."""
        match event:
            case Booted(values=values):
                return self._boot(values)
            case PeerRefuted():
                return self._refuted(event, now)
            case CatalogChanged(writer, key, value) if key == VERDICTS_KEY and writer != self._me:
                return self._heard(writer, value)
            case ReadmitAsked(request, peer):
                return self._readmit(request, peer)
            case _:
                return []

    def on_deadline(self, now: Now) -> list[Output]:
        return []

    def next_deadline(self) -> float | None:
        return None

    # rules

    def _boot(self, values: Mapping[str, bytes]) -> list[Output]:
        kept = values.get(VERDICTS_KEY)
        if kept is None:
            return []
        try:
            self._said[self._me] = sayings_from_bytes(kept)
        except Malformed as fault:
            return [Notice("verdicts_unreadable", "error", fields={"reason": str(fault)})]
        return [Publish(VERDICTS_KEY, kept), *self._tell(None)]

    def _refuted(self, refuted: PeerRefuted, now: Now) -> list[Output]:
        if self.against(refuted.peer) is not None:
            return []  # it is out already, and this was under way
        mine = self._said[self._me]
        pardoned = [one.number for said in self._said.values() for one in said.pardons if one.author == self._me]
        number = 1 + max([*pardoned, *(one.number for one in mine.verdicts)], default=0)
        fresh = Verdict(
            refuted.peer, number, refuted.job, refuted.frame, refuted.voters, min(max(now.wall_ms, 0), limits.WALL_MS_MAX)
        )
        others = [one for one in mine.verdicts if one.peer != refuted.peer][-(limits.VERDICTS_MAX - 1) :]
        return [*self._keep(Sayings((*others, fresh), mine.pardons)), *self._tell(refuted.job)]

    def _heard(self, writer: PeerId, value: bytes | None) -> list[Output]:
        try:
            said = Sayings() if value is None else sayings_from_bytes(value)
        except Malformed:
            return []
        before = {one.peer: one.number for one in self._said.get(writer, Sayings()).verdicts}
        if value is None:
            self._said.pop(writer, None)
        else:
            self._said[writer] = said
        fresh = [one.job for one in said.verdicts if before.get(one.peer) != one.number]
        return self._tell(fresh[0] if fresh else None)

    def _readmit(self, request: RequestId, peer: PeerId) -> list[Output]:
        if peer == self._me:
            text = "a peer cannot speak for itself; ask another one to let it in again"
            return [Reply(request, Conflict("own_verdict", text))]
        mine = self._said[self._me]
        ended = [
            Pardon(author, peer, verdict.number)
            for author in sorted(self._said)
            for verdict in self._said[author].verdicts
            if verdict.peer == peer and not self._pardoned(author, verdict)
        ]
        if not ended:
            return [Reply(request, True)]
        replaced = {(pardon.author, pardon.peer) for pardon in ended}
        kept = [pardon for pardon in mine.pardons if (pardon.author, pardon.peer) not in replaced]
        pardons = (*kept, *ended)[-limits.VERDICTS_MAX :]
        outputs = self._keep(Sayings(mine.verdicts, pardons))
        return [*outputs, *self._tell(None), Reply(request, True)]

    def _keep(self, said: Sayings) -> list[Output]:
        self._said[self._me] = said
        data = sayings_to_bytes(said)
        return [Persist((PutValue(VERDICTS_KEY, data),)), Publish(VERDICTS_KEY, data)]

    def _tell(self, job: JobId | None) -> list[Output]:
        """Who is distrusted now and was not, and the other way round."""
        peers = dict.fromkeys([*self._told, *(one.peer for author in sorted(self._said) for one in self._said[author].verdicts)])
        outputs: list[Output] = []
        for peer in peers:
            verdict = self.against(peer)
            reason = "" if verdict is None else reason_of(verdict)
            was = self._told.get(peer, "")
            if was == reason:
                continue
            if reason:
                self._told[peer] = reason
            else:
                del self._told[peer]
            fields = {"peer": peer, "reason": reason}
            if bool(was) != bool(reason):
                outputs.append(
                    Notice("peer_distrusted", "error", job, fields) if reason else Notice("peer_trusted", fields=fields)
                )
            outputs.append(TrustChanged(peer, reason, job if reason else None))
        return outputs


def reason_of(verdict: Verdict) -> str:
    """A verdict in words."""
    voters = " and ".join(voter[:8] for voter in verdict.voters)
    return f"frame {verdict.frame} of job {verdict.job[:8]} has other pixels than {voters} render"


def sayings_to_bytes(said: Sayings) -> bytes:
    """The published and the kept form."""
    verdicts = [[one.peer, one.number, one.job, one.frame, list(one.voters), one.wall_ms] for one in said.verdicts]
    return pack([verdicts, [[one.author, one.peer, one.number] for one in said.pardons]])


def sayings_from_bytes(data: bytes) -> Sayings:
    """Raises `Malformed`."""
    r = Reader(unpack_list(data, bytes_max=limits.CATALOG_VALUE_BYTES_MAX))
    return Sayings(r.each(_verdict, limits.VERDICTS_MAX), r.each(_pardon, limits.VERDICTS_MAX))


def _verdict(row: Any) -> Verdict:
    r = Reader(row)
    return Verdict(
        peer=PeerId(r.text(64)), number=r.integer(1), job=JobId(r.text(32)),
        frame=r.integer(limits.FRAME_NUMBER_MIN, limits.FRAME_NUMBER_MAX),
        voters=tuple(PeerId(voter) for voter in r.texts(4, 64)), wall_ms=r.integer(0, limits.WALL_MS_MAX),
    )  # fmt: skip


def _pardon(row: Any) -> Pardon:
    r = Reader(row)
    return Pardon(author=PeerId(r.text(64)), peer=PeerId(r.text(64)), number=r.integer(1))
