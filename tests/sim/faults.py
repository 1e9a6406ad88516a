"""What goes wrong in one seed, and how often: every probability is drawn from the seed, and some are exactly zero.

A campaign in which everything always fails hides the faults that need quiet around them; one in which each fault is
sometimes absent finds both kinds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities are per packet, message, task or commit; intervals are mean seconds (0: never)."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    stream_break: float = 0.0
    partition_every_s: float = 0.0
    partition_s: float = 8.0
    asymmetric: float = 0.5
    crash_every_s: float = 0.0
    restart_s: float = 5.0
    failpoint: float = 0.0
    link_every_s: float = 0.0
    link_s: float = 20.0
    disk_stall: float = 0.0
    stall_s: float = 5.0
    torn_commit: float = 0.5
    drift: float = 0.0
    jump_every_s: float = 0.0
    straggler: float = 0.0
    memory: float = 0.0
    poison: float = 0.0
    verify: float = 0.0
    fetch: float = 0.0
    progress: float = 0.5
    inspect_crash: float = 0.0
    broken_scene: float = 0.0
    warning: float = 0.0
    drain_every_s: float = 0.0
    control: float = 0.0
    owner_crash: float = 0.0  # how many of the crashes look for a peer that owns a job
    for_good: float = 0.0  # how many of the killed stay down until the faults end
    wipe: float = 0.0  # how many of the restarts find an empty disk, as far as nothing is lost by that
    torn_tail: float = 0.0  # how many of the commits that a crash cuts are there in part
    snapshot_every_s: float = 0.0  # between two copies of some disk that may be put back later
    roll_back: float = 0.0  # how many of the restarts find such a copy in the place of their disk, as far as nothing is lost
    copied: float = 0.0  # how many of the restarts run on a copy of their disk, and the next one on the original
    damage_every_s: float = 0.0  # between two blobs whose bytes rot on some disk
    deliver: float = 0.0  # how many jobs are to be delivered to an output root
    root_gone_every_s: float = 0.0  # between two times that it is not there
    take_away_every_s: float = 0.0  # between two delivered files that somebody takes away
    audit_share: float = 0.0  # of the committed frames, how many are rendered once more
    scrub_s: float = 5.0  # until that is found, where nobody reads them before

    @classmethod
    def draw(cls, random: Random) -> Faults:
        """The faults of one seed."""

        def often(most: float) -> float:
            return 0.0 if random.random() < 0.3 else random.uniform(0.0, most)

        def every(least: float, most: float) -> float:
            return 0.0 if random.random() < 0.25 else random.uniform(least, most)

        drawn = cls(
            loss=often(0.15), duplicate=often(0.1), reorder=often(0.2), stream_break=often(0.05),
            partition_every_s=every(6, 30), partition_s=random.uniform(2, 20), asymmetric=often(1.0),
            crash_every_s=every(4, 25), restart_s=random.uniform(0.5, 20),
            failpoint=often(0.02), link_every_s=every(2, 20), link_s=random.uniform(5, 40),
            disk_stall=often(0.02), stall_s=5.0, torn_commit=often(1.0), drift=often(0.001), jump_every_s=every(5, 30),
            straggler=often(0.05), memory=often(0.05), poison=often(0.08), verify=often(0.04), fetch=often(0.1),
            progress=often(1.0), inspect_crash=often(0.3), broken_scene=often(0.2), warning=often(0.5),
            drain_every_s=every(15, 60), control=often(0.8),
            owner_crash=often(1.0), for_good=often(0.5), wipe=often(0.3), torn_tail=often(0.6),
        )  # fmt: skip
        random = Random(repr(drawn))  # not the dice that were handed in: seeds that were pinned before keep their meaning
        return replace(
            drawn, snapshot_every_s=every(0.5, 3), roll_back=often(0.4), copied=often(0.15),
            damage_every_s=every(1, 8), scrub_s=random.uniform(0.5, 15),
            deliver=often(1.0), root_gone_every_s=every(5, 30), take_away_every_s=every(2, 15),
        )  # fmt: skip


CALM = Faults()
