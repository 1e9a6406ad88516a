from __future__ import annotations

from tests.peer.web.conftest import WebPeer
from tests.waiting import wait_until


async def test_requests_are_counted_by_template_never_by_path(peer: WebPeer):
    await peer.client.get("/api/v1/jobs/not-there")
    await peer.client.get("/no/such/path")
    await peer.client.request("PUT", "/health")
    await wait_until(lambda: b'status="405"' in peer.metrics.render())
    text = await (await peer.client.get("/metrics")).text()
    assert 'rendermesh_http_requests_total{method="GET",route="/api/v1/jobs/{job}",status="404"} 1.0' in text
    assert 'rendermesh_http_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert 'rendermesh_http_requests_total{method="other",route="none",status="405"} 1.0' in text
    assert 'rendermesh_http_request_seconds_count{route="/api/v1/jobs/{job}"} 1.0' in text
    assert "not-there" not in text
    assert (await peer.client.get("/metrics")).headers["Content-Type"].startswith("text/plain; version=")
