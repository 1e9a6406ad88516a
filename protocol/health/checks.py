"""One check: how results become a status, when it is due, when it gives up on its service.

Decides thresholds, expiry and output size, with Consul's meaning of each. Refuses to know what a probe is and who asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol import limits
from protocol.cards import CheckStatus
from protocol.ids import Ticket
from protocol.services import CheckRow, CheckSpec

EXPIRED = "TTL expired"


def clip(text: str) -> str:
    """At most `limits.CHECK_OUTPUT_BYTES_MAX` bytes of UTF-8, whole characters."""
    return text.encode("utf-8", "replace")[: limits.CHECK_OUTPUT_BYTES_MAX].decode("utf-8", "ignore")


@dataclass(slots=True)
class Check:
    """Invariants: a status other than the initial one was reached by a result, an expiry or an update; `due_s` is the next
    probe (http, tcp; None while one runs) or the expiry (ttl); `published` is what the others were told last."""

    spec: CheckSpec
    status: CheckStatus
    output: str = ""
    successes: int = 0
    failures: int = 0
    due_s: float | None = None
    running: Ticket | None = None
    critical_since_s: float | None = None
    published: CheckRow | None = field(default=None)
    publish_at_s: float | None = None

    @classmethod
    def fresh(cls, spec: CheckSpec, *, now_s: float, first_s: float) -> Check:
        """A check that nobody has heard of yet: critical unless its definition says otherwise, first due at `first_s`."""
        check = cls(spec, spec.initial, critical_since_s=now_s if spec.initial == "critical" else None)
        check.due_s = {"ttl": now_s + spec.ttl_s, "http": first_s, "tcp": first_s}.get(spec.kind)
        return check

    def redefine(self, spec: CheckSpec, *, now_s: float) -> Check:
        """The same check under a new definition: what is known of it stays, and it is looked at again at once."""
        again = Check.fresh(spec, now_s=now_s, first_s=now_s)
        if spec.kind == self.spec.kind:
            again.status, again.output, again.critical_since_s = self.status, self.output, self.critical_since_s
            again.published, again.publish_at_s = self.published, self.publish_at_s
        return again

    @property
    def row(self) -> CheckRow:
        """As it is shown here and now."""
        s = self.spec
        return CheckRow(s.id, s.name, self.status, s.kind, s.notes, self.output, s.service)

    # what happens to it

    def probed(self, status: CheckStatus, output: str, *, now_s: float) -> None:
        """A probe has ended. Passing and warning are successes; the n-th success or failure in a row changes the status."""
        self.output = clip(output)
        self.running, self.due_s = None, now_s + self.spec.interval_s
        if status == "critical":
            self.successes, self.failures = 0, self.failures + 1
            if self.failures >= self.spec.failures_before_critical:
                self._become("critical", now_s)
            elif self.failures >= self.spec.failures_before_warning:
                self._become("warning", now_s)
        else:
            self.successes, self.failures = self.successes + 1, 0
            if self.successes >= self.spec.success_before_passing:
                self._become(status, now_s)

    def updated(self, status: CheckStatus, output: str, *, now_s: float) -> None:
        """The application has said how it is (ttl): at once, whatever the thresholds, and the clock starts anew."""
        self.output = clip(output)
        self.due_s = now_s + self.spec.ttl_s
        self._become(status, now_s)

    def expired(self, *, now_s: float) -> None:
        """The application has said nothing in time (ttl): critical until it does."""
        said = f" (last output before timeout follows): {self.output}" if self.output else ""
        if not self.output.startswith(EXPIRED):
            self.output = clip(EXPIRED + said)
        self.due_s = None
        self._become("critical", now_s)

    def _become(self, status: CheckStatus, now_s: float) -> None:
        if status != "critical":
            self.critical_since_s = None
        elif self.critical_since_s is None:
            self.critical_since_s = now_s
        self.status = status

    # when something is to be done

    @property
    def gives_up_at_s(self) -> float | None:
        """When its service is taken out, having been critical for too long."""
        if self.critical_since_s is None or not self.spec.deregister_after_s or not self.spec.service:
            return None
        return self.critical_since_s + self.spec.deregister_after_s

    @property
    def next_s(self) -> float | None:
        """The earliest moment at which this check wants attention."""
        return min((at for at in (self.due_s, self.gives_up_at_s, self.publish_at_s) if at is not None), default=None)
