"""A conversation with one machine as a test: feed an event, let virtual time pass, expect an effect.

The machine's obligations are kept for it: time never falls, and deadlines are met exactly.
"""

from __future__ import annotations

from typing import Any, Self, TypeVar

from protocol.kernel import Now

T = TypeVar("T")


class Playbook:
    """Drives `machine` (handle, on_deadline, next_deadline) from `now_s` on; `out` holds what came out and was not taken."""

    def __init__(self, machine: Any, *, now_s: float = 1_000.0) -> None:
        self.machine = machine
        self.now_s = now_s
        self.out: list[Any] = []

    @property
    def now(self) -> Now:
        """This moment. The wall clock is off by a century, since nothing may depend on it."""
        return Now(self.now_s, int(self.now_s * 1_000) - 3_155_760_000_000)

    def feed(self, *events: Any) -> Self:
        """Hand in events at this moment."""
        for event in events:
            self.out += self.machine.handle(event, self.now)
        return self

    def wait(self, seconds: float) -> Self:
        """Let time pass, meeting every deadline on the way."""
        end_s = self.now_s + seconds
        for _ in range(100_000):
            due_s = self.machine.next_deadline()
            if due_s is None or due_s > end_s:
                self.now_s = end_s
                return self
            self.now_s = max(self.now_s, due_s)
            self.out += self.machine.on_deadline(self.now)
        raise AssertionError(f"the machine's deadline does not move on from {self.now_s}")

    def sleep(self, seconds: float) -> Self:
        """Let time pass without calling the machine (its process was stopped), then meet the deadline late."""
        self.now_s += seconds
        self.out += self.machine.on_deadline(self.now)
        return self

    def take(self, kind: type[T], **fields: Any) -> list[T]:
        """Remove and return all effects of `kind` whose fields have these values."""
        taken = [effect for effect in self.out if _fits(effect, kind, fields)]
        self.out = [effect for effect in self.out if not _fits(effect, kind, fields)]
        return taken

    def expect(self, kind: type[T], **fields: Any) -> T:
        """Remove and return the first such effect; fails with everything that came instead."""
        for at, effect in enumerate(self.out):
            if _fits(effect, kind, fields):
                del self.out[at]
                found: T = effect
                return found
        raise AssertionError(f"no {kind.__name__} with {fields} among:\n" + "\n".join(map(repr, self.out)))

    def expect_no(self, kind: type, **fields: Any) -> Self:
        """Fails when there is such an effect."""
        unwanted = [effect for effect in self.out if _fits(effect, kind, fields)]
        assert not unwanted, f"unexpected: {unwanted}"
        return self

    def forget(self) -> Self:
        """Nothing that came out so far matters."""
        self.out = []
        return self


def _fits(effect: Any, kind: type, fields: dict[str, Any]) -> bool:
    return isinstance(effect, kind) and all(getattr(effect, name) == value for name, value in fields.items())
