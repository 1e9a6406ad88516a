"""Every job's newest summary, whoever wrote it; and the question to the others about a job that nobody here has heard of.

Of two summaries the one of the greater (epoch, owner) counts: a job's owner is the only one who may speak for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from protocol import limits
from protocol.effects import Effect, Reply
from protocol.errors import Malformed, NotFound
from protocol.events import Event, LocateAsked, StreamReceived
from protocol.ids import JobId, PeerId, RequestId
from protocol.kernel import Now
from protocol.signals import CatalogChanged, PeerChanged, Send, Signal, SummaryChanged
from protocol.summaries import job_key, summary_from_bytes, summary_to_bytes
from protocol.views import JobView
from protocol.wire.work import JobAnswer, JobQuery

Output = Effect | Signal
PREFIX_CHARS_MIN = 4


@dataclass(slots=True)
class _Search:
    request: RequestId
    text: str
    until: float
    waiting_for: list[PeerId]


class Board:
    """Invariant: at most one view per job, of the greatest (epoch, owner) that any writer has published."""

    def __init__(self, *, me: PeerId, random: Random) -> None:
        self._me = me
        self._random = random
        self._said: dict[JobId, dict[PeerId, JobView]] = {}
        self._live: list[PeerId] = []
        self._searches: dict[int, _Search] = {}
        self._ask = 0

    # reading

    def views(self) -> list[JobView]:
        """All jobs, newest first."""
        views = [view for job in self._said if (view := self.view(job)) is not None]
        return sorted(views, key=lambda view: (-view.submitted_ms, view.id))

    def view(self, job: JobId) -> JobView | None:
        """The newest word on a job."""
        said = self._said.get(job)
        if not said:
            return None
        return max(said.values(), key=lambda view: (view.epoch, view.owner, view.version))

    def matches(self, text: str) -> list[JobView]:
        """Jobs with this id, this id prefix, or this name (newest first)."""
        exact = self.view(JobId(text))
        if exact is not None:
            return [exact]
        views = self.views()
        by_prefix = [view for view in views if len(text) >= PREFIX_CHARS_MIN and view.id.startswith(text)]
        return by_prefix or [view for view in views if view.name == text]

    # the machine

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Events: LocateAsked, job queries and answers. Signals: CatalogChanged (summaries), PeerChanged."""
        match event:
            case CatalogChanged(writer, key, value) if key.startswith(job_key(JobId(""))):
                return self._heard(writer, JobId(key.removeprefix(job_key(JobId("")))), value)
            case PeerChanged(peer) if peer != self._me:
                self._peer(peer, event.live)
                return []
            case LocateAsked():
                return self._locate(event, now)
            case StreamReceived(sender, JobQuery(ask, text)):
                found = tuple(summary_to_bytes(view) for view in self.matches(text)[:2])
                return [Send(sender, JobAnswer(ask, found))]
            case StreamReceived(sender, JobAnswer(ask, summaries)):
                return self._answered(sender, ask, summaries)
            case _:
                return []

    def on_deadline(self, now: Now) -> list[Output]:
        over = [ask for ask, search in self._searches.items() if search.until <= now.monotonic_s]
        return [self._give_up(ask) for ask in over]

    def next_deadline(self) -> float | None:
        return min((search.until for search in self._searches.values()), default=None)

    # rules

    def _peer(self, peer: PeerId, live: bool) -> None:
        if live and peer not in self._live:
            self._live.append(peer)
        elif not live and peer in self._live:
            self._live.remove(peer)

    def _heard(self, writer: PeerId, job: JobId, value: bytes | None) -> list[Output]:
        said = self._said.setdefault(job, {})
        if value is None:
            said.pop(writer, None)
        else:
            try:
                said[writer] = summary_from_bytes(value)
            except Malformed:
                return []
        if not said:
            del self._said[job]
        return [SummaryChanged(job, self.view(job))]

    def _locate(self, asked: LocateAsked, now: Now) -> list[Output]:
        found = self.matches(asked.text)
        if found:
            return [Reply(asked.request, found[0])]
        self._ask += 1
        search = _Search(asked.request, asked.text, now.monotonic_s + limits.LOCATE_S, list(self._live))
        self._searches[self._ask] = search
        if not search.waiting_for:
            return [self._give_up(self._ask)]
        return [Send(peer, JobQuery(self._ask, asked.text)) for peer in search.waiting_for]

    def _answered(self, sender: PeerId, ask: int, summaries: tuple[bytes, ...]) -> list[Output]:
        search = self._searches.get(ask)
        if search is None or sender not in search.waiting_for:
            return []
        search.waiting_for.remove(sender)
        for summary in summaries:
            try:
                view = summary_from_bytes(summary)
            except Malformed:
                continue
            del self._searches[ask]
            return [Reply(search.request, view)]
        return [] if search.waiting_for else [self._give_up(ask)]

    def _give_up(self, ask: int) -> Reply:
        search = self._searches.pop(ask)
        message = f"no job {search.text[:80]!r} here or on any live peer; `peerctl jobs` lists what there is"
        return Reply(search.request, NotFound("no_such_job", message))
