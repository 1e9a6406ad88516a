"""Names, labels, and that daemons in one process do not share a registry."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from peer.telemetry.metrics import CONTENT_TYPE, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_the_names_that_rules_and_dashboards_rely_on():
    metrics = Metrics()
    metrics.jobs.labels(status="completed").inc()
    metrics.job_duration_seconds.observe(4.0)
    metrics.members.labels(state="alive").set(3)
    metrics.datagrams_dropped.labels(reason="seal").inc(2)
    metrics.http_requests.labels(route="/api/v1/jobs", method="POST", status="202").inc()
    found = samples(metrics)
    assert found["rendermesh_jobs_total", (("status", "completed"),)] == 1
    assert found["rendermesh_job_duration_seconds_bucket", (("le", "5.0"),)] == 1
    assert found["rendermesh_job_duration_seconds_bucket", (("le", "1.0"),)] == 0
    assert found["rendermesh_members", (("state", "alive"),)] == 3
    assert found["rendermesh_datagrams_dropped_total", (("reason", "seal"),)] == 2
    assert found["rendermesh_http_requests_total", (("method", "POST"), ("route", "/api/v1/jobs"), ("status", "202"))] == 1


def test_job_buckets_reach_from_a_second_to_a_day():
    edges = [float(dict(labels)["le"]) for name, labels in samples(Metrics()) if name == "rendermesh_job_duration_seconds_bucket"]
    assert (min(edges), sorted(edges)[-2]) == (1.0, 86_400.0)


def test_two_daemons_in_one_process_count_apart():
    one, two = Metrics(), Metrics()
    one.lease_expiries.inc()
    name = ("rendermesh_lease_expiries_total", ())
    assert (samples(one)[name], samples(two)[name]) == (1, 0)


def test_every_name_is_ours_says_what_it_is_and_units_come_last():
    for family in text_string_to_metric_families(Metrics().render().decode()):
        assert family.name.startswith("rendermesh_")
        assert family.documentation
        for unit in ("seconds", "bytes"):
            assert unit not in family.name.split("_")[:-1]


def test_an_undeclared_label_is_refused():
    with pytest.raises(ValueError, match=r"[Ll]abel"):
        Metrics().jobs.labels(job="abc")


def test_the_content_type_is_the_one_that_prometheus_reads():
    assert CONTENT_TYPE.startswith("text/plain; version=")
