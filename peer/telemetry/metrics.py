"""What is measured, under which name and in which unit. One registry per daemon.

Decides names, labels and buckets. Refuses to know who measures: whoever owns a fact counts it here. Labels come from
closed sets only (never a job, a peer or a path from outside), so that no client can grow the registry.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
JOB_SECONDS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0, 86_400.0)
RENDER_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0)
SHORT_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

disable_created_metrics()  # one more series for every counter and histogram, which no rule or dashboard reads


class Metrics:
    """Every metric of one daemon.

    Invariant: all belong to `registry`, which is this instance's own, so that several daemons live in one process.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._jobs()
        self._sharing()
        self._mesh()
        self._shell()

    def _jobs(self) -> None:
        self.jobs = self._counter("jobs", "Jobs that reached an end on their owner", "status")
        self.job_duration_seconds = self._histogram("job_duration_seconds", "From acceptance to the end", JOB_SECONDS)
        self.frames = self._gauge("frames", "Frames of jobs owned here", "state")
        self.frames_ended = self._counter("frames_ended", "Attempts at frames that ended on this peer", "result")
        self.render_seconds = self._histogram("render_seconds", "One frame inside the renderer", RENDER_SECONDS, "renderer")
        self.queue_depth = self._gauge("queue_depth", "Frames owned here that wait for a peer")
        self.audits = self._counter("audits", "Finished frames that another peer rendered once more, by outcome", "result")
        self.duplicates = self._counter("duplicate_results", "Frames that were rendered more than once")

    def _sharing(self) -> None:
        self.steals = self._counter("steals", "Requests for a batch, as the owner answered them", "result")
        self.steal_seconds = self._histogram("steal_seconds", "From asking for a batch to the answer", SHORT_SECONDS)
        self.lease_expiries = self._counter("lease_expiries", "Leases that ran out unrenewed")
        self.takeovers = self._counter("takeovers", "Jobs whose ownership this peer took over")

    def _mesh(self) -> None:
        self.distrusted = self._gauge("peers_distrusted", "Peers whose frames were found to be wrong")
        self.members = self._gauge("members", "Peers as this one sees them", "state")
        self.gossip_bytes = self._counter("gossip_bytes", "Bytes of membership datagrams", "direction")
        self.datagrams_dropped = self._counter("datagrams_dropped", "Datagrams that were not taken", "reason")
        self.blob_bytes = self._counter("blob_bytes", "Bytes of scenes and frames moved between peers and clients", "direction")
        self.breaker_open = self._gauge("breakers_open", "Peers and sources that are not called at present")

    def _shell(self) -> None:
        self.loop_lag_seconds = self._histogram("event_loop_lag_seconds", "How late the event loop woke", SHORT_SECONDS)
        self.commit_seconds = self._histogram("store_commit_seconds", "One durable commit", SHORT_SECONDS)
        self.http_requests = self._counter("http_requests", "HTTP requests answered", "route", "method", "status")
        self.http_seconds = self._histogram(
            "http_request_seconds", "From the head of a request to its answer", SHORT_SECONDS, "route"
        )
        self.logins_failed = self._counter("logins_failed", "Requests that showed a wrong key", "reason")
        self.violations = self._counter("invariant_violations", "Broken invariants; more than none is a bug", "invariant")

    def render(self) -> bytes:
        """Everything in Prometheus text form, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace="rendermesh", registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace="rendermesh", registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, namespace="rendermesh", buckets=buckets, registry=self.registry)
