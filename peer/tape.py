"""The tape: the last steps of a node, and what a fresh one needs to take them again. Written out when a machine raises.

A tape is complete while its first step is still on it: then `scripts/replay` feeds a fresh `Node` and compares effects.
Decides nothing. The file is private to the user, like the journal, whose rows it may show. A key ring is not recorded: a
peer with one is shown but not replayed.
"""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from protocol import limits
from protocol.effects import Effect
from protocol.events import Booted, Event
from protocol.kernel import Now
from protocol.node import NodeOptions

Step = tuple[int, Now, Event | None, list[Effect]]


def no_token() -> int:
    """Stands for the real source of tokens on a written tape."""
    raise AssertionError("a written tape draws no tokens; it holds the drawn ones")


@dataclass(frozen=True, slots=True)
class Recording:
    """What lies in the file. `tokens` in the order in which they were drawn; `options` None: only for reading."""

    options: NodeOptions | None
    tokens: tuple[int, ...]
    steps: tuple[Step, ...]


class Tape:
    """Invariant: at most `limits.TRACE_STEPS_KEPT` steps; tokens are kept only while the first step is."""

    def __init__(self, draw: Callable[[], int] = no_token) -> None:
        self._draw = draw
        self._tokens: list[int] = []
        self._steps: deque[Step] = deque(maxlen=limits.TRACE_STEPS_KEPT)
        self._count = 0
        self.options: NodeOptions | None = None

    def token(self) -> int:
        """Draw a token for the node, and remember it."""
        token = self._draw()
        if self._count <= limits.TRACE_STEPS_KEPT:
            self._tokens.append(token)
        return token

    def add(self, now: Now, event: Event | None, effects: list[Effect]) -> None:
        """One step: an event, or None for a deadline, and what the node said to it. A start on more facts than fit on a tape
        is shown and not replayed."""
        if isinstance(event, Booted) and not isinstance(event.facts, tuple):
            event, self.options = replace(event, facts=()), None
        self._count += 1
        self._steps.append((self._count, now, event, effects))
        if self._count > limits.TRACE_STEPS_KEPT:
            self._tokens.clear()

    def write(self, folder: Path, why: str) -> Path:
        """Write the file `trace-WHY-TIME.pickle`. Raises OSError."""
        complete = self._count == len(self._steps) and self.options is not None and self.options.ring is None
        options = replace(self.options, token=no_token) if complete and self.options is not None else None
        path = folder / f"trace-{why}-{time.time_ns()}.pickle"
        path.touch(mode=0o600)
        path.write_bytes(pickle.dumps(Recording(options, tuple(self._tokens), tuple(self._steps))))
        return path
