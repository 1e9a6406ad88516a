"""Who dispatches jobs is there, and in which run: what a worker must know of the peers that it works for.

Refuses to know jobs and leases.
"""

from __future__ import annotations

from protocol.ids import PeerId
from protocol.signals import PeerChanged


class Owners:
    """Invariant: this peer is always there; of a peer that membership has forgotten nothing is kept."""

    def __init__(self, *, me: PeerId) -> None:
        self._live: dict[PeerId, bool] = {me: True}
        self._runs: dict[PeerId, int] = {}  # as they were last seen alive in

    def heard(self, changed: PeerChanged) -> bool:
        """Take news of a peer; whether it is there in another run than before."""
        self._live[changed.peer] = changed.live
        if not changed.live or self._runs.get(changed.peer) == changed.run_epoch:
            return False
        self._runs[changed.peer] = changed.run_epoch
        return True

    def forget(self, peer: PeerId) -> None:
        """Membership has dropped it."""
        self._live.pop(peer, None)
        self._runs.pop(peer, None)

    def is_live(self, peer: PeerId) -> bool:
        """Whether a peer is there; a suspected one is."""
        return self._live.get(peer, False)
