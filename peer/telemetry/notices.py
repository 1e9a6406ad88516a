"""What the machines notice, counted: one place that knows which notice moves which metric."""

from __future__ import annotations

from peer.telemetry.metrics import Metrics
from protocol.effects import Notice


class NoticeMetrics:
    """Invariant: every label comes from a closed set."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def count(self, notice: Notice) -> None:
        """Move the metrics that this notice is about."""
        m, fields = self._metrics, notice.fields
        match notice.event:
            case "job_accepted":
                m.jobs.labels(status="started").inc()
            case "job_completed" | "job_failed" | "job_cancelled":
                m.jobs.labels(status=notice.event.removeprefix("job_")).inc()
                if fields.get("seconds") is not None:
                    m.job_duration_seconds.observe(fields["seconds"])
            case "frame_committed":
                m.frames_ended.labels(result="done").inc()
                m.render_seconds.labels(renderer="any").observe(fields["seconds"])
            case "frame_failed":
                m.frames_ended.labels(result="failed").inc()
            case "attempt_lost":
                m.frames_ended.labels(result="lost").inc()
            case "duplicate_result":
                m.duplicates.inc()
            case "audit_agreed" | "audit_refuted" | "audit_undecided":
                m.audits.labels(result=notice.event.removeprefix("audit_")).inc()
            case "peer_distrusted":
                m.distrusted.inc()
            case "peer_trusted":
                m.distrusted.dec()
            case "frames_leased" | "inspection_leased":
                m.steals.labels(result="granted").inc()
            case "lease_expired":
                m.lease_expiries.inc()
            case _:
                pass

    def committed(self, seconds: float, rows: int) -> None:
        """One durable commit of `rows` rows took this long."""
        self._metrics.commit_seconds.observe(seconds)
