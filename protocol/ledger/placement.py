"""Who should keep copies of a job: rendezvous hashing proposes, other hosts first. It only proposes; the set is recorded.

Highest random weight: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import blake3

from protocol.ids import JobId, PeerId


def weight(job: JobId, peer: PeerId) -> int:
    """A peer's 64-bit weight for a job: equal wherever it is computed."""
    return int.from_bytes(blake3.blake3(f"{job}/{peer}".encode()).digest(8), "big")


def candidates(job: JobId, peers: Sequence[PeerId]) -> list[PeerId]:
    """All `peers`, the likeliest holder first."""
    return sorted(peers, key=lambda peer: (-weight(job, peer), peer))


def choose(job: JobId, peers: Sequence[PeerId], hosts: Mapping[PeerId, str], keep: Sequence[PeerId], count: int) -> list[PeerId]:
    """`count` peers that should hold the job: those in `keep` stay, then peers on hosts that hold no copy yet, by weight."""
    chosen = list(keep)[:count]
    ranked = [peer for peer in candidates(job, peers) if peer not in chosen]
    while ranked and len(chosen) < count:
        used = {hosts.get(peer, "") for peer in chosen}
        apart = [peer for peer in ranked if hosts.get(peer, "") not in used]
        pick = (apart or ranked)[0]
        chosen.append(pick)
        ranked.remove(pick)
    return chosen
