"""A job with a destination: which frames are still to be delivered, what was delivered, and when all has been swept.

Pure rules over a held job for the ledger. Refuses to know who carries, and how a file gets its name (`protocol.delivery`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from protocol import limits
from protocol.ids import PeerId
from protocol.jobs.frames import format_frames
from protocol.jobs.parcels import Placed
from protocol.kernel import Now
from protocol.ledger.facts import Body, Delivered, FrameEnded, Retried
from protocol.ledger.fold import JobFold
from protocol.ledger.held import HeldJob
from protocol.signals import DeliveryDue, DeliveryVoid

NOT_SWEPT = -1


def deliver_anew(held: HeldJob) -> None:
    """Nobody is at the job's files any more: no look at the destination is under way, and nothing hinders one."""
    held.sweeping = held.swept = NOT_SWEPT
    held.activity.delivery_because = ()


def void(held: HeldJob, news: Iterable[Body], *, replaced: bool) -> list[DeliveryVoid]:
    """What becomes of frames that are on their way, now that these facts are known. A result that was `replaced`, is not wanted
    any more or was delivered by another owner may be nowhere by now, and must keep nothing back; nor is one swept."""
    is_news = replaced or any(isinstance(body, Delivered | Retried) for body in news)
    if not (held.opened and is_news) or held.fold.destination is None:
        return []
    deliver_anew(held)
    return [DeliveryVoid(held.fold.job)]


def delivery_due(held: HeldJob, holders: tuple[PeerId, ...], frames: Iterable[int] | None = None) -> list[DeliveryDue]:
    """Done frames (of `frames`, or of all) that are not in the destination yet; empty without one."""
    fold = held.fold
    if fold.destination is None or fold.cancelled or fold.is_closed:
        return []
    asked = fold.winners.to_deliver() if frames is None else frames
    ended = [fold.winners[frame] for frame in asked if fold.is_done(frame) and not fold.is_delivered(frame)]
    return _due(fold, ended, holders, sweep=False) if ended else []


def is_delivered(fold: JobFold) -> bool:
    """Whether nothing is left to be delivered."""
    return fold.destination is None or fold.delivered >= fold.done


def sweep_due(held: HeldJob, holders: tuple[PeerId, ...]) -> list[DeliveryDue] | None:
    """The last look before a job is closed: None when there is nothing to look for, or all was looked at; empty: under way.

    It begins with some frames; `sweep_on` tells which are next."""
    fold = held.fold
    if fold.destination is None or fold.cancelled or not fold.done or held.swept == len(fold.retries):
        return None
    if held.sweeping == len(fold.retries):
        return []
    held.sweeping, held.sweep_after = len(fold.retries), limits.FRAME_NUMBER_MIN - 1
    return _next_to_sweep(held, holders)


def sweep_on(held: HeldJob, holders: tuple[PeerId, ...]) -> list[DeliveryDue]:
    """The frames of the sweep that were under way have been looked at. The next ones; when there are none, all were."""
    fold = held.fold
    if fold.cancelled or fold.is_closed:
        return []
    more = _next_to_sweep(held, holders) if held.sweeping == len(fold.retries) else []
    if not more:
        held.swept = held.sweeping
    return more


def _next_to_sweep(held: HeldJob, holders: tuple[PeerId, ...]) -> list[DeliveryDue]:
    winners = held.fold.winners
    frames = list(islice(winners.done_after(held.sweep_after), limits.SWEPT_AT_ONCE))
    if not frames:
        return []
    held.sweep_after = frames[-1]
    return _due(held.fold, [winners[frame] for frame in frames], holders, sweep=True)


def _due(fold: JobFold, ended: Sequence[FrameEnded], holders: tuple[PeerId, ...], *, sweep: bool) -> list[DeliveryDue]:
    spec, destination = fold.spec, fold.destination
    assert spec is not None
    assert destination is not None
    items = tuple((one, fold.replaced_by(one)) for one in ended)
    return [DeliveryDue(fold.job, destination.root, destination.folder, spec.name, spec.output, holders, items, sweep)]


def delivered_facts(fold: JobFold, placed: Sequence[Placed], peer: PeerId, now: Now) -> list[Delivered]:
    """What is news of that, one fact for each generation."""
    news = {one.frame: one for one in placed if fold.is_done(one.frame) and not fold.is_delivered(one.frame)}
    facts: list[Delivered] = []
    for generation in sorted({one.generation for one in news.values()}):
        frames = sorted(frame for frame, one in news.items() if one.generation == generation)
        conflicts = tuple((frame, name) for frame in frames for name in news[frame].conflicts)
        facts.append(Delivered(format_frames(frames), generation, conflicts, peer, now.wall_ms))
    return facts
