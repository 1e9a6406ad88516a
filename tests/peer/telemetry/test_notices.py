"""Which notice moves which metric."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from peer.telemetry.metrics import Metrics
from peer.telemetry.notices import NoticeMetrics
from protocol.effects import Notice

TOP = Path(__file__).resolve().parents[3]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def counts(metrics: Metrics) -> NoticeMetrics:
    return NoticeMetrics(metrics)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value("rendermesh_" + name, labels) or 0.0


@pytest.mark.parametrize(
    ("event", "name", "labels"),
    [
        ("job_accepted", "jobs_total", {"status": "started"}),
        ("job_completed", "jobs_total", {"status": "completed"}),
        ("job_failed", "jobs_total", {"status": "failed"}),
        ("job_cancelled", "jobs_total", {"status": "cancelled"}),
        ("frame_failed", "frames_ended_total", {"result": "failed"}),
        ("attempt_lost", "frames_ended_total", {"result": "lost"}),
        ("duplicate_result", "duplicate_results_total", {}),
        ("frames_leased", "steals_total", {"result": "granted"}),
        ("inspection_leased", "steals_total", {"result": "granted"}),
        ("lease_expired", "lease_expiries_total", {}),
    ],
)
def test_a_notice_moves_its_counter(metrics: Metrics, counts: NoticeMetrics, event: str, name: str, labels: dict[str, str]):
    counts.count(Notice(event))
    counts.count(Notice(event))
    assert value(metrics, name, **labels) == 2


def test_a_committed_frame_is_counted_and_timed(metrics: Metrics, counts: NoticeMetrics):
    counts.count(Notice("frame_committed", fields={"seconds": 0.3}))
    assert value(metrics, "frames_ended_total", result="done") == 1
    assert value(metrics, "render_seconds_sum", renderer="any") == 0.3


def test_a_job_that_has_ended_is_timed_when_its_time_is_known(metrics: Metrics, counts: NoticeMetrics):
    counts.count(Notice("job_completed", fields={"seconds": 12.0}))
    counts.count(Notice("job_cancelled", fields={"seconds": None}))
    assert value(metrics, "job_duration_seconds_count") == 1
    assert value(metrics, "job_duration_seconds_sum") == 12.0


def test_a_commit_is_timed(metrics: Metrics, counts: NoticeMetrics):
    counts.committed(0.02, 5)
    assert value(metrics, "store_commit_seconds_sum") == 0.02


def test_what_nobody_counts_moves_nothing(metrics: Metrics, counts: NoticeMetrics):
    before = metrics.render()
    counts.count(Notice("something_new"))
    assert metrics.render() == before


def test_every_event_that_is_counted_is_noticed_somewhere():
    counted = re.findall(r'"([a-z_]+)"', "".join(re.findall(r"case (.*):", (TOP / "peer/telemetry/notices.py").read_text())))
    sources = "".join(path.read_text() for path in (TOP / "protocol").rglob("*.py"))
    assert counted
    for event in counted:
        named = re.search(rf'"{event}"', sources)
        assert named or (event.startswith("job_") and 'Notice("job_" + ' in sources), event


def test_audits_are_counted_by_outcome_and_distrusted_peers_as_they_are(metrics: Metrics, counts: NoticeMetrics):
    counts.count(Notice("audit_agreed", "debug"))
    counts.count(Notice("audit_refuted", "warning"))
    counts.count(Notice("peer_distrusted", "error"))
    assert value(metrics, "audits_total", result="agreed") == value(metrics, "audits_total", result="refuted") == 1
    assert value(metrics, "peers_distrusted") == 1
    counts.count(Notice("peer_trusted"))
    assert value(metrics, "peers_distrusted") == 0
