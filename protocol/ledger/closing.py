"""When a job is over, and what is known of a scene before anybody looks: what an owner concludes from facts and copies.

Refuses to know who is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from protocol.ids import PeerId
from protocol.jobs.manifest import EMPTY
from protocol.jobs.results import Inspection
from protocol.kernel import Now
from protocol.ledger.delivering import is_delivered
from protocol.ledger.facts import Closed
from protocol.ledger.fold import VersionMap
from protocol.ledger.held import HeldJob
from protocol.ledger.lifecycle import refusal
from protocol.ledger.replicas import Replicas


def last_word(held: HeldJob, replicas: Replicas, now: Now, *, me: PeerId, own: VersionMap) -> Closed | None:
    """The fact that ends the job, once there is nothing left to do; None while there is, or when it was said already.

    `own`: up to where this peer, the owner, holds the job with all bytes."""
    fold = held.fold
    if fold.is_closed:
        return None
    if fold.cancelled:
        return _closed(held, "cancelled", now)
    if refusal(fold) is not None:
        return _closed(held, "failed", now)
    if fold.frames is None:
        return None
    failed = [frame for frame in fold.failed_frames() if frame in fold.frames]
    if fold.done + len(failed) < len(fold.frames) or not is_delivered(fold) or not all_safe(held, replicas, me=me, own=own):
        return None
    return _closed(held, "failed" if failed else "completed", now)


def _closed(held: HeldJob, state: Literal["completed", "failed", "cancelled"], now: Now) -> Closed:
    return Closed(state, held.fold.fence, len(held.fold.retries), now.wall_ms)


def all_safe(held: HeldJob, replicas: Replicas, *, me: PeerId, own: VersionMap) -> bool:
    """Whether every committed frame's bytes are here and on another peer, where there is one that can hold them.

    Who made a frame holds it, as long as this owner took it from that peer's present run itself."""
    if not held.fold.covered_by(own):
        return False
    others = replicas.others()
    if not others or any(held.copies.is_synced(peer) for peer in others):
        return True
    makers = held.fold.winners.makers()
    return not held.hearsay and bool(makers) and all(peer != me and replicas.is_live(peer) for peer in makers)


def known_inspection(held: HeldJob, jobs: Iterable[HeldJob]) -> Inspection | None:
    """A job without a scene needs no look; the same scene under the same settings needs no second one."""
    fold = held.fold
    assert fold.accepted is not None
    if fold.accepted.manifest == EMPTY:
        return Inspection()
    scene, settings = fold.accepted.manifest.digest(), fold.settings
    for other in jobs:
        seen, accepted = other.fold.inspection, other.fold.accepted
        if other is held or seen is None or accepted is None or seen.error is not None:
            continue
        if accepted.manifest.digest() == scene and other.fold.settings == settings:
            return seen
    return None
