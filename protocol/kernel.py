"""The vocabulary that every machine shares: a moment, events in, effects out, one deadline.

Decides nothing. Refuses to know what a clock, a socket, a disk or a process is: the caller hands in `Now`
and performs the effects that come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

EventT = TypeVar("EventT", contravariant=True)
EffectT = TypeVar("EffectT")


@dataclass(frozen=True, slots=True)
class Now:
    """A moment, seen by one process.

    `monotonic_s` orders deadlines and never leaves the process; `wall_ms` (Unix time) is for display only, so a
    clock that jumps changes what people read and nothing else.
    """

    monotonic_s: float
    wall_ms: int


class Machine(Protocol[EventT, EffectT]):
    """A decision machine: pure, single-threaded, driven from outside.

    The caller's obligations: hand in `Now` values whose `monotonic_s` never falls; perform the returned effects in
    order; call `on_deadline` once `next_deadline()` has passed, before any event that waits.
    """

    def handle(self, event: EventT, now: Now) -> list[EffectT]:
        """Take one event and say what is to be done about it."""
        ...

    def on_deadline(self, now: Now) -> list[EffectT]:
        """Do what has become due at `now`; calling it too early is harmless."""
        ...

    def next_deadline(self) -> float | None:
        """The monotonic second at which `on_deadline` wants to be called next, or None."""
        ...
