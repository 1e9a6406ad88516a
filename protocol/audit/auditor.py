"""The owner's side of sampled verification: has some finished frames rendered once more by another peer, and compares.

Decides which frame, by whom, and what follows: two renders that differ get a third one, and whoever is alone is refuted.
Each committed frame is `share` of an audit; a whole one goes to the peer of which the most frames were committed since it was
looked at, for its latest frame. Cutting the highest like this keeps each below 2.62/share frames (Kuszmaul, Bamboo Trimming
Revisited, 2022), while somebody can be asked. Refuses to know what follows from a verdict.
"""

from __future__ import annotations

from collections import OrderedDict
from random import Random
from typing import Final

from protocol import limits
from protocol.audit.comparing import class_of, in_order, outliers, same_pixels, same_shape
from protocol.audit.trial import VOTES, Trial, Vote
from protocol.cards import PeerCard
from protocol.effects import Compare, Effect, FetchBlobs, Notice
from protocol.events import BlobsEnded, Compared, Event, StreamFailed, StreamReceived
from protocol.ids import AttemptId, Digest, JobId, LeaseId, PeerId, Ticket
from protocol.jobs.results import FrameResult
from protocol.kernel import Now
from protocol.signals import FrameCommitted, MemberForgotten, PeerChanged, PeerRefuted, Send, Signal, WorkOpened
from protocol.wire.work import Audit, Audited, Lease

Output = Effect | Signal
CREDIT_MAX: Final = 1.0


class Auditor:
    """Invariants: at most `limits.AUDITS_AT_ONCE_MAX` trials, each with an end; whoever is refuted is so by two others."""

    def __init__(self, *, me: PeerId, run_epoch: int, share: float, random: Random) -> None:
        """`share`: of the committed frames, how many are rendered once more; 0: none."""
        self._me = me
        self._share = share
        self._random = random
        self._credit = random.random()
        self._counter = run_epoch << 32
        self._works: OrderedDict[JobId, WorkOpened] = OrderedDict()
        self._cards: dict[PeerId, PeerCard] = {}
        self._unseen: dict[PeerId, int] = {}  # frames that were committed since the peer was looked at
        self._latest: dict[PeerId, FrameCommitted] = {}
        self._vague: OrderedDict[JobId, None] = OrderedDict()  # jobs whose renders were found to differ from peer to peer
        self._trials: list[Trial] = []

    # reading

    @property
    def under_way(self) -> int:
        """Trials that have no verdict yet."""
        return len(self._trials)

    def unseen(self, peer: PeerId) -> int:
        """Frames of this peer that were committed here since it was looked at."""
        return self._unseen.get(peer, 0)

    # the machine

    def handle(self, event: Event | Signal, now: Now) -> list[Output]:
        """Events: witnesses' answers, fetched bytes, comparisons. Signals: jobs, commits, peers."""
        match event:
            case WorkOpened() if self._share > 0:
                self._opened(event)
            case FrameCommitted() if self._share > 0:
                return self._committed(event, now)
            case StreamReceived(sender, Audited() as answer):
                return self._answered(sender, answer, now)
            case StreamFailed(peer, Audit(lease)):
                trial = self._trial_of(lease.attempts[0])
                return [] if trial is None or trial.asked[-1] != peer else self._summon(trial, now)
            case BlobsEnded(ticket, error):
                trial = self._waiting_for(ticket)
                return [] if trial is None else self._fetched(trial, error)
            case Compared(ticket, agree, _):
                trial = self._waiting_for(ticket)
                return [] if trial is None else self._compared(trial, agree, now)
            case PeerChanged():
                return self._peer(event, now)
            case MemberForgotten(peer):
                self._unseen.pop(peer, None)
                self._latest.pop(peer, None)
        return []

    def on_deadline(self, now: Now) -> list[Output]:
        """Ask another peer where one has not answered in time."""
        late = [trial for trial in self._trials if trial.attempt is not None and trial.until <= now.monotonic_s]
        return [output for trial in late for output in self._summon(trial, now)]

    def next_deadline(self) -> float | None:
        return min((trial.until for trial in self._trials if trial.attempt is not None), default=None)

    # what there is to look at

    def _opened(self, work: WorkOpened) -> None:
        self._works[work.job] = work
        self._works.move_to_end(work.job)
        while len(self._works) > limits.AUDIT_JOBS_KEPT:
            self._works.popitem(last=False)

    def _committed(self, ended: FrameCommitted, now: Now) -> list[Output]:
        if ended.result.failure is not None or not ended.result.outputs:
            return []
        self._unseen[ended.peer] = self._unseen.get(ended.peer, 0) + 1
        self._latest[ended.peer] = ended
        self._credit = min(self._credit + self._share, CREDIT_MAX)
        if self._credit < CREDIT_MAX or len(self._trials) >= limits.AUDITS_AT_ONCE_MAX:
            return []
        for peer in sorted(self._latest, key=lambda peer: (-self._unseen.get(peer, 0), peer)):
            trial = self._begun(self._latest[peer])
            if trial is not None and self._witnesses(trial):
                self._credit -= CREDIT_MAX
                self._trials.append(trial)
                return self._summon(trial, now)
        return []

    def _begun(self, ended: FrameCommitted) -> Trial | None:
        """A trial of this frame, if its peer and its job can be judged by it."""
        work = self._works.get(ended.job)
        if work is None or not work.comparable or work.only_on is not None or ended.job in self._vague:
            return None
        if any(trial.accused == ended.peer for trial in self._trials):
            return None
        card = self._cards.get(ended.peer)
        if card is None or card.distrusted or (kind := class_of(work, card, ended.result.device)) is None:
            return None
        return Trial(work, ended, [Vote(ended.peer, kind, ended.result)], [ended.peer])

    # witnesses

    def _witnesses(self, trial: Trial) -> list[PeerId]:
        """Who could render the frame once more: comparable with every vote; idle ones first, then those of the same class."""
        rows: list[tuple[bool, bool, float, PeerId]] = []
        for peer in sorted(self._cards):
            card = self._cards[peer]
            if peer in trial.asked or card.draining or card.critical or not card.slots_total:
                continue
            kind = class_of(trial.work, card, trial.frame.result.device)
            if kind is not None and all(outliers(kind, vote.kind) is not None for vote in trial.votes):
                rows.append((kind != trial.votes[0].kind, not card.slots_free, self._random.random(), peer))
        return [peer for *_, peer in sorted(rows)]

    def _summon(self, trial: Trial, now: Now) -> list[Output]:
        """Ask the next witness; without one the trial ends."""
        trial.attempt = None
        witnesses = self._witnesses(trial)
        if not witnesses or len(trial.asked) > limits.AUDIT_WITNESSES_MAX:
            return self._end(trial, "undecided")
        self._counter += 1
        trial.attempt = AttemptId(trial.work.fence.epoch, self._me, self._counter)
        patience_s = limits.AUDIT_PATIENCE_S + limits.AUDIT_PATIENCE_FRAMES * trial.frame.result.seconds
        trial.until = now.monotonic_s + min(patience_s, limits.AUDIT_PATIENCE_S_MAX)
        trial.asked.append(witnesses[0])
        fields = {"frame": trial.frame.frame, "by": trial.accused, "to": witnesses[0]}
        asked = Notice("audit_asked", "debug", trial.work.job, fields)
        return [Send(witnesses[0], Audit(self._lease(trial, trial.attempt))), asked]

    def _lease(self, trial: Trial, attempt: AttemptId) -> Lease:
        work, ended = trial.work, trial.frame
        return Lease(
            lease=LeaseId(f"{self._random.getrandbits(64):016x}"), job=work.job, fence=work.fence, inspect=False,
            frames=(ended.frame,), generations=(ended.generation,), attempts=(attempt,), ttl_s=limits.LEASE_TTL_S,
            spec=work.spec_json, manifest=work.manifest, holders=work.holders, blender=work.blender, trace="",
        )  # fmt: skip

    def _answered(self, sender: PeerId, answer: Audited, now: Now) -> list[Output]:
        trial = self._trial_of(answer.attempt)
        if trial is None or trial.asked[-1] != sender:
            return []
        card = self._cards.get(sender)
        kind = None if card is None else class_of(trial.work, card, answer.result.device)
        comparable = kind is not None and all(outliers(kind, vote.kind) is not None for vote in trial.votes)
        if answer.result.failure is not None or not answer.result.outputs or kind is None or not comparable:
            return self._summon(trial, now)
        trial.attempt = None
        trial.votes.append(Vote(sender, kind, answer.result))
        return self._judge(trial, now)

    # judging

    def _judge(self, trial: Trial, now: Now) -> list[Output]:
        """Compare what is left to compare: by pixel hash, then by the pixels themselves."""
        while (pair := trial.next_pair) is not None and (trial.verdict() == "open" or len(trial.votes) == VOTES):
            one, other = trial.votes[pair[0]], trial.votes[pair[1]]
            if same_pixels(one.result, other.result):
                trial.found[pair] = True
            elif not same_shape(one.result, other.result):
                trial.found[pair] = False
            else:
                return self._bring(trial, pair)
        verdict = trial.verdict()
        return self._summon(trial, now) if verdict == "open" else self._end(trial, verdict)

    def _bring(self, trial: Trial, pair: tuple[int, int]) -> list[Output]:
        """The witnesses' bytes come here, into the cache; those of the committed frame are here."""
        self._counter += 1
        trial.ticket, trial.pair = Ticket(f"audit-{self._counter}"), pair
        lacking = [trial.votes[at] for at in pair if at > 0 and trial.votes[at].peer != self._me]
        items = {output.digest: output.size for vote in lacking for output in vote.result.outputs}
        return [FetchBlobs(trial.ticket, tuple(items.items()), tuple(vote.peer for vote in lacking), None)]

    def _fetched(self, trial: Trial, error: str) -> list[Output]:
        assert trial.pair is not None
        if error:
            return self._end(trial, "undecided")
        one, other = (trial.votes[at] for at in trial.pair)
        most = outliers(one.kind, other.kind)
        assert most is not None
        self._counter += 1
        trial.ticket = Ticket(f"audit-{self._counter}")
        pairs = zip(_digests(one.result), _digests(other.result), strict=True)
        return [Compare(trial.ticket, tuple(pairs), most)]

    def _compared(self, trial: Trial, agree: bool | None, now: Now) -> list[Output]:
        assert trial.pair is not None
        if agree is None:
            return self._end(trial, "undecided")
        trial.found[trial.pair] = agree
        trial.ticket = trial.pair = None
        return self._judge(trial, now)

    def _end(self, trial: Trial, verdict: str) -> list[Output]:
        """`verdict`: agreed, undecided, or the peer that is refuted."""
        self._trials.remove(trial)
        job, frame = trial.work.job, trial.frame.frame
        voters = [vote.peer for vote in trial.votes]
        fields = {"frame": frame, "by": trial.accused, "votes": voters}
        self._unseen[trial.accused] = 0  # also where nobody could tell: the others have their turn
        if verdict == "agreed":
            return [Notice("audit_agreed", "debug", job, fields)]
        if verdict == "undecided":
            return self._undecided(trial)
        others = tuple(peer for peer in voters if peer != verdict)
        notice = Notice("audit_refuted", "warning", job, {**fields, "peer": verdict})
        return [notice, PeerRefuted(PeerId(verdict), job, frame, others)]

    def _undecided(self, trial: Trial) -> list[Output]:
        """Nobody could tell. Renders that all differ say something of the job, not of a peer."""
        job = trial.work.job
        if len(trial.votes) == VOTES:
            self._vague[job] = None
            while len(self._vague) > limits.AUDIT_JOBS_KEPT:
                self._vague.popitem(last=False)
        differs = trial.found.get((0, 1)) is False
        voters = [vote.peer for vote in trial.votes]
        fields = {"frame": trial.frame.frame, "by": trial.accused, "votes": voters, "differs": differs}
        return [Notice("audit_undecided", "warning" if differs else "debug", job, fields)]

    # peers

    def _peer(self, changed: PeerChanged, now: Now) -> list[Output]:
        if changed.live and changed.card is not None:
            self._cards[changed.peer] = changed.card
            return []
        self._cards.pop(changed.peer, None)
        lost = [trial for trial in self._trials if trial.attempt is not None and trial.asked[-1] == changed.peer]
        return [output for trial in lost for output in self._summon(trial, now)] if not changed.live else []

    def _trial_of(self, attempt: AttemptId) -> Trial | None:
        return next((trial for trial in self._trials if trial.attempt == attempt), None)

    def _waiting_for(self, ticket: Ticket) -> Trial | None:
        return next((trial for trial in self._trials if trial.ticket == ticket), None)


def _digests(result: FrameResult) -> list[Digest]:
    return [output.digest for output in in_order(result)]
