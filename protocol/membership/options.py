"""Values of the failure detector, as presets derived from one another.

Decides how fast a mesh of a kind (lan, wan, local) probes, suspects and gossips. Refuses to know which one a peer uses.
Sources: the SWIM paper (Das et al., 2002), Lifeguard (arXiv 1707.00788), memberlist's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class SwimOptions:
    """Seconds and factors. The probe timeout is below the probe interval: what is left is for the helpers."""

    probe_interval_s: float = 1.0
    probe_timeout_s: float = 0.5
    helpers: int = 3
    suspicion_mult: int = 4
    suspicion_max_mult: int = 6
    gossip_interval_s: float = 0.2
    fanout: int = 3
    retransmit_mult: int = 4
    gossip_to_dead_s: float = 30.0
    sync_interval_s: float = 30.0
    sync_first_s: float = 1.5
    health_max: int = 7
    retry_least_s: float = 3.0
    retry_most_s: float = 5.0
    join_first_s: float = 0.3
    refusals_apart_s: float = 1.0
    lag_s: float = 0.1
    leave_s: float = 3.0
    challenge_s: float = 1.0
    stranger_s: float = 5.0
    snapshot_s: float = 10.0

    @property
    def nack_after_s(self) -> float:
        """A helper's patience: shorter than its asker's, so that a nack arrives in time."""
        return 0.8 * self.probe_timeout_s

    @property
    def refusal_grace_s(self) -> float:
        """How long an answer by datagram may still outweigh a refused stream that was asked at the same moment."""
        return 0.2 * self.probe_timeout_s

    @property
    def confirmations_max(self) -> int:
        """Confirmations that bring a suspicion down to its shortest time (Lifeguard's K)."""
        return max(0, self.suspicion_mult - 2)


LAN: Final = SwimOptions()
WAN: Final = replace(
    LAN,
    probe_interval_s=5.0,
    probe_timeout_s=3.0,
    suspicion_mult=6,
    gossip_interval_s=0.5,
    fanout=4,
    gossip_to_dead_s=60.0,
    sync_interval_s=60.0,
)
LOCAL: Final = replace(
    LAN,
    probe_timeout_s=0.2,
    helpers=1,
    suspicion_mult=3,
    gossip_interval_s=0.1,
    retransmit_mult=2,
    gossip_to_dead_s=15.0,
    sync_interval_s=15.0,
)
PRESETS: Final = {"lan": LAN, "wan": WAN, "local": LOCAL}
