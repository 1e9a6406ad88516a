"""What goes wrong while looking for peers, told rarely enough to be read.

Decides when a fault is told: the first time, when it changes, every ten minutes while it lasts, and when it is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from protocol.effects import Notice
from protocol.limits import DISCOVERY_FAULT_AGAIN_S, DISCOVERY_FAULTS_MAX, DISCOVERY_TEXT_CHARS_MAX


class Faults:
    """Invariant: at most `DISCOVERY_FAULTS_MAX` sources are remembered, each with its latest fault.

    `way` names the provider in every notice; `clock` gives monotonic seconds."""

    def __init__(self, way: str, on_notice: Callable[[Notice], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._way = way
        self._on_notice = on_notice
        self._clock = clock
        self._told: dict[str, tuple[str, float]] = {}

    def failed(self, source: str, fault: str) -> None:
        """`source` does not work, because of `fault`."""
        fault, now = fault[:DISCOVERY_TEXT_CHARS_MAX], self._clock()
        known = self._told.get(source)
        if known is not None and known[0] == fault and now - known[1] < DISCOVERY_FAULT_AGAIN_S:
            return
        if known is None and len(self._told) >= DISCOVERY_FAULTS_MAX:
            del self._told[next(iter(self._told))]
        self._told[source] = (fault, now)
        fields = {"way": self._way, "source": source, "error": fault}
        self._on_notice(Notice("discovery_failed", level="warning", fields=fields))

    def works(self, source: str) -> None:
        """`source` works; told only after it did not."""
        if self._told.pop(source, None) is not None:
            self._on_notice(Notice("discovery_recovered", fields={"way": self._way, "source": source}))

    def forget(self, source: str) -> None:
        """`source` is gone and no concern any more."""
        self._told.pop(source, None)
