"""Before a submission under a client's own key is taken: do others know the key, or the very job? (C2)

A machine before the ledger. It asks the job's likely holders first, and more peers besides, for a short while at most. Decides
which answer counts: the key belongs to another job, the job was deleted, or is there already. Where nobody objects the ledger
takes the submission as any other. Of two peers that ask at the same instant the one with the lesser id goes first.
Refuses to know how a job is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from protocol import limits
from protocol.effects import Effect, Notice, Reply
from protocol.errors import Malformed, Unavailable
from protocol.events import Event, StreamFailed, StreamReceived, SubmitAsked
from protocol.ids import JobId, PeerId
from protocol.jobs.identity import canonical, job_id, key_hash
from protocol.kernel import Now
from protocol.ledger.offers import submission_refusal
from protocol.ledger.placement import candidates
from protocol.ledger.promises import owner_elsewhere
from protocol.signals import PeerChanged, Send, Signal, SummaryChanged
from protocol.summaries import summary_from_bytes, summary_to_bytes
from protocol.views import JobView, Submitted
from protocol.wire.work import SubmissionAnswer, SubmissionQuery

Output = Effect | Signal


@dataclass(frozen=True, slots=True)
class Known:
    """What a ledger knows of a submission. `key_job` is the job of its key; `view` the owner's word on `job` itself, once it was
    given to a client; `holds`: facts of the job are here, whatever has been said."""

    key_job: JobId | None
    deleted: bool
    holds: bool
    view: JobView | None


class Holdings(Protocol):
    """The ledger, as far as it is asked."""

    def known(self, submitter: str, key: str, job: JobId) -> Known: ...
    def submit(self, asked: SubmitAsked, now: Now) -> list[Output]: ...


@dataclass(slots=True)
class _Inquiry:
    asked: SubmitAsked
    job: JobId
    until: float
    waiting_for: list[PeerId]


class Inquiries:
    """Invariant: every submission that comes in is answered or handed to the ledger, once, within `limits.INQUIRY_S`."""

    def __init__(self, *, me: PeerId, ledger: Holdings) -> None:
        self._me = me
        self._ledger = ledger
        self._live: list[PeerId] = []
        self._open: dict[int, _Inquiry] = {}
        self._ask = 0
        self._by_key: dict[str, dict[JobId, None]] = {}  # jobs that were heard of, by the hash of their key
        self._keys: dict[JobId, str] = {}

    # the machine

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Events: SubmitAsked with a client's own key, queries, answers. Signals: peers, summaries."""
        match event:
            case SubmitAsked(named=True):
                return self._begin(event, now)
            case StreamReceived(sender, SubmissionQuery() as query):
                return self._asked(query, sender)
            case StreamReceived(sender, SubmissionAnswer() as answer):
                return self._answered(sender, answer, now)
            case StreamFailed(peer, SubmissionQuery(ask=ask)):
                return self._heard_nothing(peer, ask, now)
            case PeerChanged(peer) if peer != self._me:
                self._peer(peer, event.live)
                return []
            case SummaryChanged(job, seen):
                return self._heard(job, seen)
            case _:
                return []

    def on_deadline(self, now: Now) -> list[Output]:
        """Who has not answered by now does not count."""
        late = [ask for ask, one in self._open.items() if one.until <= now.monotonic_s]
        return [output for ask in late for output in self._ledger.submit(self._open.pop(ask).asked, now)]

    def next_deadline(self) -> float | None:
        return min((one.until for one in self._open.values()), default=None)

    # reading

    def marked(self, view: JobView) -> JobView:
        """The view with those other jobs that were made under the same key."""
        jobs = self._by_key.get(view.key, {})
        return replace(view, same_key=tuple(job for job in jobs if job != view.id)) if len(jobs) > 1 else view

    # asking

    def _begin(self, asked: SubmitAsked, now: Now) -> list[Output]:
        scene = asked.manifest.digest()
        job = job_id(submitter=asked.submitter, key=asked.key, spec_json=canonical(asked.spec), scene=scene)
        known = self._ledger.known(asked.submitter, asked.key, job)
        elsewhere = self._other_job(asked.submitter, asked.key, job)
        if elsewhere is not None and not known.deleted:
            refused = submission_refusal(job, elsewhere, deleted=False)
            assert refused is not None
            return [Reply(asked.request, refused)]
        peers = candidates(job, self._live)[: limits.INQUIRY_PEERS_MAX]
        if known.deleted or known.key_job is not None or known.view is not None or not peers:
            return self._ledger.submit(asked, now)
        self._ask += 1
        self._open[self._ask] = _Inquiry(asked, job, now.monotonic_s + limits.INQUIRY_S, peers)
        query = SubmissionQuery(self._ask, asked.submitter, asked.key, job)
        return [Send(peer, query) for peer in list(peers)]

    def _answered(self, sender: PeerId, answer: SubmissionAnswer, now: Now) -> list[Output]:
        inquiry = self._open.get(answer.ask)
        if inquiry is None or sender not in inquiry.waiting_for:
            return []
        if answer.verdict == "unknown":
            return self._heard_nothing(sender, answer.ask, now)
        del self._open[answer.ask]
        request = inquiry.asked.request
        if answer.verdict == "busy":
            return [Reply(request, _busy())]
        refused = submission_refusal(inquiry.job, answer.job, deleted=answer.verdict == "deleted")
        if refused is not None:
            return [Reply(request, refused)]
        seen = _view_in(answer)
        if seen is not None and seen.copies >= min(2, 1 + len(self._live)):
            return [Reply(request, Submitted(seen, seen.copies, created=False))]
        return [Reply(request, owner_elsewhere(sender if seen is None else seen.owner))]

    def _heard_nothing(self, peer: PeerId, ask: int, now: Now) -> list[Output]:
        inquiry = self._open.get(ask)
        if inquiry is None or peer not in inquiry.waiting_for:
            return []
        inquiry.waiting_for.remove(peer)
        if inquiry.waiting_for:
            return []
        del self._open[ask]
        return self._ledger.submit(inquiry.asked, now)

    # answering

    def _asked(self, query: SubmissionQuery, sender: PeerId) -> list[Output]:
        """Who is asked while it asks itself stands back for the lesser id, and lets the greater one try again."""
        mine = [ask for ask, one in self._open.items() if (one.asked.submitter, one.asked.key) == (query.submitter, query.key)]
        if mine and self._me < sender:
            return [Send(sender, SubmissionAnswer(query.ask, "busy", None, None))]
        yielded = [Reply(self._open.pop(ask).asked.request, _busy()) for ask in mine]
        return [*yielded, Send(sender, self._answer(query))]

    def _answer(self, query: SubmissionQuery) -> SubmissionAnswer:
        known = self._ledger.known(query.submitter, query.key, query.job)
        if known.deleted:
            return SubmissionAnswer(query.ask, "deleted", query.job, None)
        other = known.key_job if known.key_job not in (None, query.job) else None
        other = other or self._other_job(query.submitter, query.key, query.job)
        if other is not None:
            return SubmissionAnswer(query.ask, "other", other, None)
        if known.view is not None:
            return SubmissionAnswer(query.ask, "same", query.job, summary_to_bytes(known.view))
        if known.holds:
            return SubmissionAnswer(query.ask, "same", query.job, None)
        return SubmissionAnswer(query.ask, "unknown", None, None)

    def _other_job(self, submitter: str, key: str, job: JobId) -> JobId | None:
        """Another job of this key that was heard of."""
        return next((one for one in self._by_key.get(key_hash(submitter, key), ()) if one != job), None)

    # who is there, and what is heard

    def _peer(self, peer: PeerId, live: bool) -> None:
        if live and peer not in self._live:
            self._live.append(peer)
        elif not live and peer in self._live:
            self._live.remove(peer)

    def _heard(self, job: JobId, seen: JobView | None) -> list[Output]:
        """Index a job by its key. Two jobs of one key, from two sides of a cut network, both live, and it is said."""
        if seen is None:
            jobs = self._by_key.get(self._keys.get(job, ""))
            if jobs is not None:
                jobs.pop(job, None)
                if not jobs:
                    del self._by_key[self._keys[job]]
            self._keys.pop(job, None)
            return []
        if not seen.key or job in self._keys:
            return []
        self._keys[job] = seen.key
        jobs = self._by_key.setdefault(seen.key, {})
        others = list(jobs)
        jobs[job] = None
        return [Notice("key_used_twice", "warning", job, {"other": others[0]})] if others else []


def _busy() -> Unavailable:
    text = "another submission under this Idempotency-Key is under way at another peer; try again"
    return Unavailable("key_busy", text, retry_after_s=1)


def _view_in(answer: SubmissionAnswer) -> JobView | None:
    try:
        return None if answer.summary is None else summary_from_bytes(answer.summary)
    except Malformed:
        return None
