"""When the others hear of a job's state: changes of state at once, counts alone now and then.

Refuses to know who reads it and how it travels.
"""

from __future__ import annotations

from protocol import limits
from protocol.kernel import Now
from protocol.ledger.held import HeldJob
from protocol.ledger.offers import job_version
from protocol.ledger.overview import view
from protocol.signals import Publish
from protocol.summaries import job_key, summary_to_bytes


def publication(held: HeldJob, now: Now, *, copies: int, peers: int) -> list[Publish]:
    """The summary to publish now, if any; `held.dirty` says that one is due later.

    A job that may still be refused is not published. `peers` known decide how often counts alone go out.
    """
    if held.fold.accepted is None or held.is_unsaid:
        return []
    fresh = view(held.fold, held.activity, copies=copies)
    before = held.published
    urgent = before is None or job_version(before) != job_version(fresh)
    pause_s = limits.SUMMARY_COUNTS_SMALL_MESH_S if peers <= limits.CATALOG_PUSH_PEERS else limits.SUMMARY_COUNTS_S
    if not urgent and now.monotonic_s - held.published_at < pause_s:
        held.dirty = before != fresh
        return []
    held.dirty = False
    if before == fresh:
        return []
    held.published, held.published_at = fresh, now.monotonic_s
    return [Publish(job_key(held.fold.job), summary_to_bytes(fresh))]
