"""Whom to ask for work: highest waiting priority first, then power of two choices by waiting frames.

Mitzenmacher, "The power of two choices in randomized load balancing" (1996).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from protocol.ids import JobId, PeerId
from protocol.views import JobView

OPEN_STATES = ("inspecting", "queued", "running")


class Victims:
    """Owners with waiting work, and how long each is left alone after it had nothing. Bounded by jobs, and by the peers that
    were asked lately."""

    def __init__(self, *, me: PeerId, random: Random) -> None:
        self._me = me
        self._random = random
        self._views: dict[JobId, JobView] = {}
        self._quiet_until: dict[PeerId, float] = {}
        self._woken: list[PeerId] = []
        self._unreached_until: dict[JobId, float] = {}

    def heard(self, job: JobId, view: JobView | None) -> None:
        """The newest summary of a job."""
        if view is None or view.state not in OPEN_STATES:
            self._views.pop(job, None)
        else:
            self._views[job] = view

    def woken_by(self, owner: PeerId, job: JobId, now_s: float) -> None:
        """An owner says that it has work: ask it next, unless it is work that could not be begun here a moment ago. What was
        handed back wakes everybody: it would come back at once, again and again."""
        if self._unreached_until.get(job, now_s) > now_s:
            return
        self._quiet_until.pop(owner, None)
        if owner not in self._woken:
            self._woken.append(owner)

    def had_nothing(self, owner: PeerId, until: float) -> None:
        """Leave this owner alone until then, unless it wakes us."""
        self._quiet_until[owner] = until

    def could_not_reach(self, owner: PeerId, job: JobId, until: float) -> None:
        """The scene of a job could not be had: leave its owner alone until then, and do not let that job wake us."""
        self._unreached_until[job] = until
        self.had_nothing(owner, until)

    def owner_of(self, job: JobId) -> PeerId | None:
        """Who dispatches a job that is open, as far as is known."""
        view = self._views.get(job)
        return None if view is None else view.owner

    def choose(self, *, now_s: float, is_live: Callable[[PeerId], bool], renderers: Iterable[str]) -> PeerId | None:
        """The owner to ask next, or None."""
        while self._woken:
            owner = self._woken.pop(0)
            if is_live(owner):
                return owner
        self._quiet_until = {owner: until for owner, until in self._quiet_until.items() if until > now_s}
        self._unreached_until = {job: until for job, until in self._unreached_until.items() if until > now_s}
        kinds = list(renderers)
        waiting = [
            view
            for view in self._views.values()
            if (view.frames.pending > 0 or view.state == "inspecting")
            and view.renderer in kinds
            and view.only_on in (None, self._me)
            and is_live(view.owner)
            and view.owner not in self._quiet_until
        ]
        if not waiting:
            return None
        best = max(view.priority for view in waiting)
        work: dict[PeerId, int] = {}
        for view in waiting:
            if view.priority == best:
                work[view.owner] = work.get(view.owner, 0) + max(view.frames.pending, 1)
        owners = sorted(work)
        pair = owners if len(owners) <= 2 else self._random.sample(owners, 2)
        return max(pair, key=lambda owner: (work[owner], owner == self._me))
