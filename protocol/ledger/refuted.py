"""Frames that a peer has made whose pixels are not to be trusted: which they are, and how they are wanted again.

Refuses to know how it was found out.
"""

from __future__ import annotations

from protocol import limits
from protocol.effects import Notice
from protocol.ids import JobId, PeerId
from protocol.jobs.frames import format_frames
from protocol.kernel import Now
from protocol.ledger.facts import Retried
from protocol.ledger.fold import JobFold


def made_by(fold: JobFold, peer: PeerId) -> list[int]:
    """Done frames whose result is this peer's, sorted. Reads a fact of each done frame where it has made any."""
    if peer not in fold.winners.makers():
        return []
    return [frame for frame in fold.winners.all_done() if fold.winners[frame].peer == peer]


def anew(fold: JobFold, frames: list[int], now: Now) -> list[Retried]:
    """The facts that want these frames in the generation after their own."""
    by_generation: dict[int, list[int]] = {}
    for frame in frames:
        by_generation.setdefault(fold.generation(frame) + 1, []).append(frame)
    return [Retried(format_frames(some), generation, now.wall_ms) for generation, some in sorted(by_generation.items())]


def doubtful_notice(job: JobId, peer: PeerId, frames: list[int]) -> Notice:
    """An ended job has frames of such a peer: whoever runs the mesh decides whether they are rendered again."""
    text = format_frames(frames)[: limits.SUMMARY_RANGES_CHARS_MAX]
    return Notice("frames_doubtful", "warning", job, {"peer": peer, "frames": text, "count": len(frames)})
